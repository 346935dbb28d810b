"""The examples of docs/ run as they stand, for a few steps, on an untrained world model."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from dreamgym.evaluate import evaluate_real, load_policy
from dreamgym.world_model import WorldModel

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"

RUNS = {
    "sb3_ppo.py": ("--steps 64 --num-envs 8 --validation 0", "stable_baselines3"),
    "sb3_sac.py": ("--steps 40 --num-envs 4 --buffer 100 --episodes 0", "stable_baselines3"),
    "sb3_recurrent_ppo.py": ("--steps 16 --num-envs 4 --obs-type latent --episodes 0", "sb3_contrib"),
    "sb3_cnn_ppo.py": ("--steps 8 --num-envs 2 --episodes 0", "stable_baselines3"),
    "cleanrl_ppo.py": ("--total-timesteps 64 --num-envs 4 --num-steps 16", "torch"),
    "torchrl_collector.py": ("--frames 256 --frames-per-batch 128 --num-envs 4", "torchrl"),
}
MADE = {
    "sb3_ppo.py": "runs/sb3-ppo/model.zip",
    "sb3_sac.py": "sb3_sac.zip",
    "sb3_recurrent_ppo.py": "sb3_recurrent_ppo.zip",
    "sb3_cnn_ppo.py": "sb3_cnn_ppo.zip",
    "cleanrl_ppo.py": "cleanrl_ppo.pt",
}


def run_example(name: str, arguments: str, bundle: Path, folder: Path) -> str:
    """What a script prints; it must end well."""
    command = [sys.executable, str(EXAMPLES / name), *arguments.split(), "--world-model", str(bundle)]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "SDL_VIDEODRIVER": "dummy"}
    finished = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr[-3000:]
    return finished.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_runs(name: str, toy_bundle: Path, tmp_path: Path) -> None:
    arguments, library = RUNS[name]
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    printed = run_example(name, arguments, toy_bundle, tmp_path)
    if name in MADE:
        assert (tmp_path / MADE[name]).stat().st_size > 0
    else:
        assert "frames=256 shape=(4, 32)" in printed


@pytest.mark.slow
def test_sb3_ppo_drives_real_tracks(toy_bundle: Path, tmp_path: Path) -> None:
    if find_spec("stable_baselines3") is None:
        pytest.skip("stable_baselines3 is not installed")
    run_example("sb3_ppo.py", "--out ppo --steps 512 --num-envs 8 --validation 1 --minutes 10", toy_bundle, tmp_path)
    training = json.loads((tmp_path / "ppo/training.json").read_text(encoding="utf-8"))
    assert training["dream_steps"] >= 512
    (drives,) = training["validation"].values()
    assert "1 test tracks: " in run_example("sb3_ppo.py", "--out ppo --evaluate --episodes 1", toy_bundle, tmp_path)
    real = json.loads((tmp_path / "ppo/real.json").read_text(encoding="utf-8"))
    assert real["returns"] == [real["mean"]] != drives
    world = WorldModel.load(toy_bundle)
    with pytest.warns(UserWarning, match="unpickling"):
        policy = load_policy(tmp_path / "ppo/model.zip", world, trust_pickle=True)
    (score,) = evaluate_real(policy, [real["first_seed"]], workers=1, world_model=world)
    assert score.score == pytest.approx(real["mean"])  # dreamgym evaluate's


def test_sb3_ppo_ends_by_its_clock(toy_bundle: Path, tmp_path: Path) -> None:
    if find_spec("stable_baselines3") is None:
        pytest.skip("stable_baselines3 is not installed")
    run_example("sb3_ppo.py", "--out ppo --num-envs 8 --validation 0 --minutes 0.02", toy_bundle, tmp_path)
    training = json.loads((tmp_path / "ppo/training.json").read_text(encoding="utf-8"))
    assert training["dream_steps"] < 10**9
    assert training["chosen"].startswith("checkpoint-")


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_the_pages_python_runs_as_it_stands(page: str, toy_bundle: Path, tmp_path: Path) -> None:
    if find_spec("stable_baselines3") is None:
        pytest.skip("stable_baselines3 is not installed")
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    text = "\n".join(blocks)
    assert "learn(5_000_000)" in text
    variables = {**os.environ, "DREAMGYM_MODELS": str(toy_bundle), "OMP_NUM_THREADS": "1", "SDL_VIDEODRIVER": "dummy"}
    command = [sys.executable, "-c", text.replace("learn(5_000_000)", "learn(1)")]
    finished = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr[-3000:]


def test_every_example_is_on_the_compatibility_page() -> None:
    page = (EXAMPLES.parent / "compatibility.md").read_text(encoding="utf-8")
    missing = [path.name for path in EXAMPLES.iterdir() if path.is_file() and path.name not in page]
    assert not missing
