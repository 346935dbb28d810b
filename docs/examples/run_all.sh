#!/usr/bin/env bash
# Every example for a few steps, each library in an environment of its own under .venv-examples/, with the shipped
# world model or the one that DREAMGYM_MODELS names: bash docs/examples/run_all.sh [sb3 torchrl evotorch tianshou rllib zoo]
set -euo pipefail
examples=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$examples/../.." && pwd)
folder=$root/.venv-examples
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# What the libraries must agree with; RLlib asks for a Gymnasium of its own.
grep -E '^(torch|numpy|gymnasium)==' "$root/constraints.txt" >"$work/pins"
grep -E '^(torch|numpy)==' "$root/constraints.txt" >"$work/pins-rllib"

prepare() {  # name, constraints, requirements...
  python=$folder/$1/bin/python
  [ -x "$python" ] || python3 -m venv "$folder/$1"
  "$python" -m pip install -q -c "$2" -e "$root[train]" "${@:3}"
}

run() {
  echo "+ $*"
  (cd "$work" && "$python" "$@")
}

for library in "${@:-sb3 torchrl evotorch tianshou rllib zoo}"; do
  for name in $library; do
    case $name in
      sb3)
        prepare sb3 "$work/pins" "stable-baselines3>=2.7" "sb3-contrib>=2.7"
        run "$examples/sb3_ppo.py" --out "$work/ppo" --steps 65536 --validation 1
        run "$examples/sb3_ppo.py" --out "$work/ppo" --evaluate --episodes 1
        run "$examples/sb3_ppo_doom.py" --out "$work/ppo-doom" --steps 65536
        run "$examples/sb3_sac.py" --steps 2000 --num-envs 16 --buffer 5000 --episodes 1
        run "$examples/sb3_recurrent_ppo.py" --steps 1024 --num-envs 16 --episodes 1
        run "$examples/sb3_cnn_ppo.py" --steps 128 --num-envs 4 --episodes 1
        run "$examples/cleanrl_ppo.py" --total-timesteps 16384
        ;;
      torchrl)
        prepare torchrl "$work/pins" torchrl
        run "$examples/torchrl_collector.py" --frames 16384
        run "$examples/torchrl_collector.py" --frames 16384 --autoreset DISABLED
        ;;
      evotorch)
        prepare evotorch "$work/pins" evotorch
        run "$examples/evotorch_gymne.py" --generations 2 --population 8 --episode-length 100
        ;;
      tianshou)
        prepare tianshou "$work/pins" tianshou joblib scipy rliable  # its high-level interface imports these
        run "$examples/tianshou_ppo.py" --steps 2048
        ;;
      rllib)
        prepare rllib "$work/pins-rllib" "ray[rllib]" "gymnasium==1.2.2"
        run "$examples/rllib_ppo.py" --iterations 2 --train-batch-size 2048
        ;;
      zoo)
        prepare zoo "$work/pins" rl_zoo3
        run -m rl_zoo3.train --algo ppo --env DreamCarRacing-v0 --gym-packages dreamgym \
          --conf-file "$examples/rl_zoo_ppo.yml" --n-timesteps 8192 --eval-freq -1 -f "$work/zoo"
        ;;
      *)
        echo "unknown library $name; expected sb3, torchrl, evotorch, tianshou, rllib or zoo" >&2
        exit 2
        ;;
    esac
  done
done
