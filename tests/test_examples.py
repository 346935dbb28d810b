"""The examples of docs/ run as they stand, for a few steps, on an untrained world model."""

from __future__ import annotations

import gc
import json
import re
import runpy
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from dreamgym import cli
from dreamgym.collect.collect import record_episode
from dreamgym.evaluate import evaluate_real, load_policy
from dreamgym.world_model import WorldModel, locate
from dreamgym.worlds import registry
from dreamgym.worlds.base import World
from dreamgym.worlds.car_racing.world import CAR_RACING

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"

RUNS = {
    "sb3_ppo.py": ("--steps 64 --num-envs 8 --validation 0", "stable_baselines3"),
    "sb3_sac.py": ("--steps 40 --num-envs 4 --buffer 100 --episodes 0", "stable_baselines3"),
    "sb3_recurrent_ppo.py": ("--steps 16 --num-envs 4 --obs-type latent --episodes 0", "stable_baselines3"),
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


@pytest.fixture(autouse=True)
def _short_drives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real episodes of a few steps, wherever their limit is taken from."""
    monkeypatch.setitem(registry._entries, "CarRacing", replace(CAR_RACING, max_episode_steps=100))
    monkeypatch.setattr(gym.spec("LatentCarRacing-v0"), "max_episode_steps", 100)


@contextmanager
def as_a_script(bundle: Path, folder: Path) -> Iterator[None]:
    """What a script finds in a process of its own: torch, Gymnasium and the others take seconds to import there."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as those of other libraries, which end no script
        patch.chdir(folder)
        patch.setenv("DREAMGYM_MODELS", str(bundle))
        patch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # some set it
        patch.setattr(sys, "argv", sys.argv)
        yield
        gc.collect()  # logs that Stable-Baselines3 leaves open, which would warn in a later test


def run_examples(calls: list[tuple[str, str]], bundle: Path, folder: Path) -> None:
    """Run scripts one after another: each must end well.

    Args:
        calls: each script's name and arguments.
        bundle: the world model of all.
        folder: where they work.
    """
    with as_a_script(bundle, folder):
        for name, arguments in calls:
            sys.argv = [str(EXAMPLES / name), *arguments.split(), "--world-model", str(bundle)]
            runpy.run_path(sys.argv[0], run_name="__main__")


@pytest.mark.slow
@pytest.mark.parametrize("library", ["stable_baselines3", "torch", "torchrl"])
@pytest.mark.usefixtures("one_thread")
def test_runs(library: str, toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    names = [name for name, (_, needed) in RUNS.items() if needed == library]
    run_examples([(name, RUNS[name][0]) for name in names], toy_bundle, tmp_path)
    for name in names:
        if name in MADE:
            assert (tmp_path / MADE[name]).stat().st_size > 0
        else:
            assert "frames=256 shape=(4, 32)" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_sb3_ppo_drives_real_tracks(toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if find_spec("stable_baselines3") is None:
        pytest.skip("stable_baselines3 is not installed")
    training_arguments = "--out ppo --steps 512 --num-envs 8 --validation 1"
    calls = [("sb3_ppo.py", arguments) for arguments in (training_arguments, "--out ppo --evaluate --episodes 1")]
    run_examples(calls, toy_bundle, tmp_path)
    training = json.loads((tmp_path / "ppo/training.json").read_text(encoding="utf-8"))
    assert training["dream_steps"] >= 512
    (drives,) = training["validation"].values()
    assert "1 test tracks: " in capsys.readouterr().out
    real = json.loads((tmp_path / "ppo/real.json").read_text(encoding="utf-8"))
    assert real["returns"] == [real["mean"]] != drives
    world = WorldModel.load(toy_bundle)
    with pytest.warns(UserWarning, match="unpickling"):
        policy = load_policy(tmp_path / "ppo/model.zip", world, trust_pickle=True)
    (score,) = evaluate_real(policy, [real["first_seed"]], workers=1, world_model=world)
    assert score.score == pytest.approx(real["mean"])  # dreamgym evaluate's


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_sb3_ppo_learns_in_dooms_dream(tmp_path: Path) -> None:
    if find_spec("stable_baselines3") is None:
        pytest.skip("stable_baselines3 is not installed")
    bundle = locate(None, "doom-take-cover")
    run_examples([("sb3_ppo_doom.py", "--out ppo --steps 64 --num-envs 8")], bundle, tmp_path)
    world_model = WorldModel.load(bundle)
    with pytest.warns(UserWarning, match="unpickling"):
        policy = load_policy(tmp_path / "ppo/model.zip", world_model, trust_pickle=True)
    features = world_model.memory.latent_size + world_model.memory.hidden_size
    assert policy(np.zeros((1, features), np.float32)).shape == (1, 1)


@pytest.mark.usefixtures("one_thread")
def test_sb3_ppo_repeats_and_keeps_its_last_checkpoint(toy_bundle: Path, tmp_path: Path) -> None:
    if find_spec("stable_baselines3") is None:
        pytest.skip("stable_baselines3 is not installed")
    arguments = "--num-envs 8 --n-steps 8 --steps 640 --validation 0 --out"
    run_examples([("sb3_ppo.py", f"{arguments} {name}") for name in ("one", "other")], toy_bundle, tmp_path)
    weights = []
    for name in ("one", "other"):
        training = json.loads((tmp_path / name / "training.json").read_text(encoding="utf-8"))
        assert (training["dream_steps"], training["chosen"]) == (640, "checkpoint-2.zip")
        kept = ["checkpoint-0.zip", "checkpoint-1.zip", "model.zip"]
        assert sorted(path.name for path in (tmp_path / name).glob("*.zip")) == kept
        with zipfile.ZipFile(tmp_path / name / "model.zip") as archive:
            weights.append(archive.read("policy.pth"))
    assert weights[0] == weights[1]


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_the_pages_python_runs_as_it_stands(page: str, toy_bundle: Path, tmp_path: Path) -> None:
    if find_spec("stable_baselines3") is None:
        pytest.skip("stable_baselines3 is not installed")
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    text = "\n".join(blocks)
    for long, short in (
        ("learn(5_000_000)", "learn(1)"),
        ("n_steps=128, batch_size=8192", "n_steps=4, batch_size=256"),
    ):
        assert long in text
        text = text.replace(long, short)
    with as_a_script(toy_bundle, tmp_path):
        exec(compile(text, page, "exec"), {"__name__": "__main__"})


def test_onnx_rollout_needs_no_torch(toy_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    folder = tmp_path / "files"
    assert cli.main(["export", str(toy_bundle), "--out", str(folder)]) == 0
    blocked = "import runpy, sys; sys.modules.update(torch=None, dreamgym=None); sys.argv = sys.argv[1:]; "
    code = f"{blocked}runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", code, str(EXAMPLES / "onnx_rollout.py"), "--folder", str(folder), "--seed", "3"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert re.search(r"return -?\d+\.\d after \d+ steps: (failure|complete|time limit)", finished.stdout)


def test_the_world_of_ones_own_plays_and_records_as_it_is_described() -> None:
    world: World = runpy.run_path(str(EXAMPLES / "own_world.py"))["WORLD"]
    env = world.make_env(max_episode_steps=world.max_episode_steps)
    assert env.action_space == world.actions.space()
    assert world.preprocess(env.reset(seed=1)[0]).shape == (64, 64, 3)
    episode = record_episode(world.players["follower"](), 1, 200, world=world)
    assert episode.frames.shape[1:] == (64, 64, 3)
    assert episode.rewards.sum() >= 1.0


def test_every_example_is_on_the_compatibility_page() -> None:
    page = (EXAMPLES.parent / "compatibility.md").read_text(encoding="utf-8")
    missing = [path.name for path in EXAMPLES.iterdir() if path.is_file() and path.name not in page]
    assert not missing
