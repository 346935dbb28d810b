"""Scores of drives in the dream and in reality: right, the same however many workers, and loud when a worker dies."""

from __future__ import annotations

import functools
import importlib
import json
import multiprocessing
import os
import signal
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dreamgym.config import EvaluateConfig
from dreamgym.control.linear import LinearController
from dreamgym.dream.core import DreamCore
from dreamgym.encoder import LatentEncoder
from dreamgym.errors import (
    ActionError,
    BundleError,
    BundleNotFoundError,
    ConfigError,
    ObservationError,
    OutputFolderError,
    UntrustedPickleError,
    WorkerError,
)
from dreamgym.evaluate import command, evaluate_dream, evaluate_real, load_policy, run, summarize, workers
from dreamgym.evaluate.policies import SB3Policy
from dreamgym.evaluate.real import drive_tracks
from dreamgym.evaluate.scores import EpisodeScore, score_episode
from dreamgym.real.world import make_real
from dreamgym.seeds import TEST_SEEDS
from dreamgym.world_model import WorldModel

Array = NDArray[np.float32]


def score(value: float, length: int = 1000, lap_finished: bool = False) -> EpisodeScore:
    return EpisodeScore(0, value, length, lap_finished, False, 0.5, 280.0, (1.0, value), 100.0)


class Noting:
    """A policy that remembers what it was told and shown."""

    def __init__(self, controller: LinearController) -> None:
        self.controller, self.seeds, self.seen = controller, [], []  # type: ignore[var-annotated]

    def reset(self, seeds: Sequence[int]) -> None:
        self.seeds.append(list(seeds))

    def __call__(self, observation: Array) -> Array:
        self.seen.append(observation.copy())
        return self.controller(observation)


class Deadly:
    """A policy that sends its own process a signal after a few frames."""

    def __init__(self, number: int) -> None:
        self.number, self.frames, self.parent = number, 0, os.getpid()

    def __call__(self, observation: Array) -> Array:
        self.frames += 1
        if self.frames == 5:
            assert os.getpid() != self.parent
            os.kill(os.getpid(), self.number)
        return np.zeros((len(observation), 3), np.float32)


class Constant:
    """A policy that always does the same."""

    def __init__(self, *action: float) -> None:
        self.action = action

    def __call__(self, observation: Array) -> Array:
        return np.tile(np.array(self.action, np.float32), (len(observation), 1))


# Scores


def test_an_episode_is_summed_up_as_by_hand() -> None:
    rewards = np.full(250, -0.1)
    rewards[:100] += 2.0
    rewards[120:160] += 3.0
    result = score_episode(
        7, rewards, progress=0.32, lap_units=280, terminated=True, lap_finished=False, max_episode_steps=500
    )
    assert result.score == pytest.approx(200 + 120 - 25)
    assert result.curve == pytest.approx((190.0, 300.0, 295.0, 295.0, 295.0))
    # The window 60..159 holds 40 of the first kind and all of the second.
    assert result.fastest_window == pytest.approx(40 * 2.0 + 40 * 3.0)
    assert (result.seed, result.length, result.left_playfield) == (7, 250, True)


def test_an_episode_shorter_than_a_window() -> None:
    result = score_episode(
        0, [1.0, -100.0], progress=0.0, lap_units=280, terminated=True, lap_finished=True, max_episode_steps=200
    )
    assert result.curve == (-99.0, -99.0)
    assert result.fastest_window == pytest.approx(1.1)
    assert not result.left_playfield


def test_summary_is_as_by_hand() -> None:
    summary = summarize([score(100.0), score(901.0, 800, True), score(902.0, 900, True), score(900.0)])
    assert summary["mean"] == pytest.approx(700.75)
    assert summary["std"] == pytest.approx(np.std([100, 901, 902, 900]))
    assert summary["standard_error"] == pytest.approx(np.std([100, 901, 902, 900], ddof=1) / 2)
    assert summary["share_over_900"] == 0.5
    assert summary["mean_lap_steps"] == 850
    assert (summary["min"], summary["max"]) == (100, 902)
    assert summary["median"] == pytest.approx(900.5)
    assert summarize([score(1.0)])["standard_error"] is None


# The dream


def test_a_dream_is_scored_as_the_core_pays(toy_world_model: WorldModel) -> None:
    controller = toy_world_model.controller
    assert controller is not None
    core = DreamCore(toy_world_model, 1, temperature=0.8, max_episode_steps=60)
    core.reset(seeds=torch.tensor([5]), start="anywhere")
    total, over = 0.0, False
    while not over:
        step = core.step(torch.from_numpy(controller(core.features.numpy().copy())))
        total += float(step.reward)
        over = bool(step.terminated | step.truncated)
    (result,) = evaluate_dream(
        controller, [5], world_model=toy_world_model, temperature=0.8, start="anywhere", max_episode_steps=60
    )
    assert result.score == pytest.approx(total)
    assert result.length == int(core.elapsed)
    assert result.progress == pytest.approx(float(core.progress))
    assert result.lap_units == 40.0


def test_a_dream_does_not_depend_on_its_company(toy_world_model: WorldModel) -> None:
    controller = toy_world_model.controller
    assert controller is not None
    together = evaluate_dream(controller, range(7), world_model=toy_world_model, max_episode_steps=50)
    alone = [evaluate_dream(controller, [s], world_model=toy_world_model, max_episode_steps=50)[0] for s in range(7)]
    assert together == alone
    assert len({result.score for result in together}) == 7


def test_a_policy_that_remembers_is_told_of_episodes(toy_world_model: WorldModel) -> None:
    assert toy_world_model.controller is not None
    policy = Noting(toy_world_model.controller)
    evaluate_dream(policy, [3, 4], world_model=toy_world_model, max_episode_steps=2)
    assert policy.seeds == [[3, 4]]
    assert policy.seen[0].shape == (2, 20)


def test_bad_requests_are_refused(toy_world_model: WorldModel) -> None:
    with pytest.raises(ConfigError, match="seeds"):
        evaluate_dream(Constant(0, 0, 0), [], world_model=toy_world_model)
    with pytest.raises(ConfigError, match="seeds"):
        evaluate_real(Constant(0, 0, 0), [], world_model=toy_world_model)
    with pytest.raises(ConfigError, match="workers"):
        evaluate_real(Constant(0, 0, 0), [1], workers=0, world_model=toy_world_model)
    with pytest.raises(ActionError):
        evaluate_dream(Constant(2, 0, 0), [1], world_model=toy_world_model)


# Reality


def test_reality_is_seen_through_v_and_m(toy_world_model: WorldModel) -> None:
    assert toy_world_model.controller is not None
    policy = Noting(toy_world_model.controller)
    (result,) = evaluate_real(policy, [11], workers=1, world_model=toy_world_model, max_episode_steps=8)
    env, encoder, total = make_real(exact=False), LatentEncoder(toy_world_model), 0.0
    frame, _ = env.reset(seed=11)
    encoder.reset(frame[None], seeds=[11])
    for seen in policy.seen:
        np.testing.assert_array_equal(seen, encoder.features())
        action = toy_world_model.controller(encoder.features())
        frame, reward, *_ = env.step(action[0])
        total += float(reward)
        encoder.step(frame[None], action)
    tiles = len(env.unwrapped.track)  # type: ignore[attr-defined]
    assert policy.seeds == [[11]]
    assert result.score == pytest.approx(total)
    assert result.lap_units == tiles
    assert result.progress == pytest.approx(env.unwrapped.tile_visited_count / tiles)  # type: ignore[attr-defined]
    env.close()


def test_latent_mean_and_own_drawing_are_passed_on(toy_world_model: WorldModel) -> None:
    assert toy_world_model.controller is not None
    seen = []
    for latent, exact in (("sample", True), ("sample", False), ("mean", True)):
        policy = Noting(toy_world_model.controller)
        evaluate_real(
            policy, [3], workers=1, world_model=toy_world_model, latent=latent, exact_drawing=exact, max_episode_steps=3
        )
        seen.append(np.concatenate(policy.seen))
    np.testing.assert_array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])


def test_scores_do_not_depend_on_the_workers(toy_world_model: WorldModel) -> None:
    policies = [Constant(0, 1, 0), Constant(0, 0, 1)]
    tasks = [(0, 5), (1, 5), (0, 6)]
    done: list[tuple[tuple[int, int], EpisodeScore]] = []
    drive = functools.partial(drive_tracks, policies, tasks, world_model=toy_world_model, max_episode_steps=50)
    alone = drive(workers=1)
    together = drive(workers=2, on_episode=lambda task, result: done.append((task, result)))
    assert together == alone
    assert [result.seed for result in alone] == [5, 5, 6]
    assert alone[0].score != alone[1].score
    assert sorted(done) == sorted(zip(tasks, alone, strict=True))
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_dies_or_stops_is_an_error_within_seconds(
    toy_world_model: WorldModel, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    if number == signal.SIGSTOP:
        monkeypatch.setattr(workers, "SILENCE_SECONDS", 3.0)
    how = "died with exit code -9" if number == signal.SIGKILL else "stopped answering"
    with pytest.raises(WorkerError, match=how):
        evaluate_real(Deadly(number), [1, 2], workers=2, world_model=toy_world_model, max_episode_steps=20)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("action", [(0, float("nan"), 0), (0, 0, 1.1), (0, 0)])
def test_a_bad_action_is_named(toy_world_model: WorldModel, workers: int, action: tuple[float, ...]) -> None:
    if workers == 2 and len(action) == 2:
        pytest.skip("one error through a worker is enough")
    with pytest.raises(ActionError, match="expected"):
        evaluate_real(Constant(*action), [1, 2], workers=workers, world_model=toy_world_model, max_episode_steps=3)
    assert not multiprocessing.active_children()


def test_a_policy_that_cannot_be_sent_is_named(toy_world_model: WorldModel) -> None:
    with pytest.raises(ConfigError, match="pickled"):
        evaluate_real(lambda seen: seen[:, :3], [1, 2], workers=2, world_model=toy_world_model)


# Policies from files


def test_the_bundles_own_controller_or_a_file(toy_world_model: WorldModel, tmp_path: Path) -> None:
    assert load_policy(None, toy_world_model) is toy_world_model.controller
    path = tmp_path / "c.safetensors"
    LinearController.from_parameters(np.arange(63, dtype=np.float32)).save(path)
    loaded = load_policy(path, toy_world_model)
    assert isinstance(loaded, LinearController)
    np.testing.assert_array_equal(loaded.parameters, np.arange(63))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BundleError):
        load_policy(path, toy_world_model)
    with pytest.raises(BundleNotFoundError):
        load_policy(tmp_path / "missing.zip", toy_world_model)
    bare = WorldModel(toy_world_model.vision, toy_world_model.memory, toy_world_model.starts)
    with pytest.raises(BundleNotFoundError, match="no controller"):
        load_policy(None, bare)


class Evil:
    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.sentinel),)


def test_a_pickle_is_not_read_untrusted(toy_world_model: WorldModel, tmp_path: Path) -> None:
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", "{}")
    for name in ("evil.zip", "evil.safetensors", "evil"):
        (tmp_path / name).write_bytes(path.read_bytes())
        with pytest.raises((UntrustedPickleError, BundleError)):
            load_policy(tmp_path / name, toy_world_model)
    with pytest.raises(UntrustedPickleError, match="trust-pickle"):
        load_policy(path, toy_world_model)


def saved_ppo(path: Path, size: int, low: float, name: str = "PPO") -> Any:
    """An untrained SB3 model for observations of ``size`` numbers and actions from ``low``."""
    import gymnasium as gym
    from gymnasium.spaces import Box

    library = importlib.import_module("stable_baselines3" if name == "PPO" else "sb3_contrib")

    class Env(gym.Env[Any, Any]):
        observation_space = Box(-10, 10, (size,), np.float32)
        action_space = Box(np.array([-1, low, low], np.float32), np.ones(3, np.float32))

    policy = "MlpPolicy" if name == "PPO" else "MlpLstmPolicy"
    kwargs = {"net_arch": [8]} | ({} if name == "PPO" else {"lstm_hidden_size": 4})
    model = getattr(library, name)(policy, Env(), n_steps=8, batch_size=8, device="cpu", seed=0, policy_kwargs=kwargs)
    with torch.no_grad():
        model.policy.action_net.weight.mul_(300.0)  # untrained, it hardly acts
    model.save(path)
    return model


@pytest.mark.parametrize(("size", "low"), [(20, 0.0), (20, -1.0), (8, 0.0)])
def test_an_sb3_archive_drives(toy_world_model: WorldModel, tmp_path: Path, size: int, low: float) -> None:
    pytest.importorskip("stable_baselines3")
    model = saved_ppo(tmp_path / "ppo.zip", size, low)
    with pytest.warns(UserWarning, match="unpickling"):
        policy = load_policy(tmp_path / "ppo.zip", toy_world_model, trust_pickle=True)
    assert isinstance(policy, SB3Policy)
    seen = np.random.default_rng(0).normal(size=(6, 20)).astype(np.float32)
    wanted = model.predict(seen[:, :size], deterministic=True)[0]
    if low == -1.0:
        wanted[:, 1:] = (wanted[:, 1:] + 1) / 2
    policy.reset(range(6))
    np.testing.assert_allclose(policy(seen), wanted, atol=1e-6)
    assert wanted.std() > 0.1
    (result,) = evaluate_dream(policy, [1], world_model=toy_world_model, max_episode_steps=5)
    assert np.isfinite(result.score)


def test_a_recurrent_sb3_policy_remembers_within_an_episode(tmp_path: Path) -> None:
    pytest.importorskip("sb3_contrib")
    saved_ppo(tmp_path / "lstm.zip", 20, 0.0, "RecurrentPPO")
    policy = SB3Policy(tmp_path / "lstm.zip")
    seen = np.random.default_rng(0).normal(size=(2, 20)).astype(np.float32)
    policy.reset([0, 1])
    first, second = policy(seen), policy(seen)
    assert not np.array_equal(first, second)
    policy.reset([0, 1])
    np.testing.assert_array_equal(first, policy(seen))


def test_an_sb3_archive_that_does_not_fit_is_named(tmp_path: Path) -> None:
    pytest.importorskip("stable_baselines3")
    saved_ppo(tmp_path / "small.zip", 5, 0.0)
    with pytest.raises(ObservationError, match="trained on 5"):
        SB3Policy(tmp_path / "small.zip")(np.zeros((1, 20), np.float32))
    saved_ppo(tmp_path / "odd.zip", 20, -0.5)
    with pytest.raises(ConfigError, match="RescaleAction"):
        SB3Policy(tmp_path / "odd.zip")
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(ConfigError, match=r"text\.zip"):
        SB3Policy(tmp_path / "text.zip")


# The command


@pytest.fixture
def short_drives(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Real drives of four frames, in this process; the seeds that were asked for."""
    asked: list[Any] = []

    def drive(policy: Any, seeds: Any, **options: Any) -> Any:
        asked.append((seeds, options))
        return evaluate_real(policy, seeds, **{**options, "workers": 1}, max_episode_steps=4)

    monkeypatch.setattr(command, "evaluate_real", drive)
    return asked


def test_the_command_prints_and_writes(
    toy_bundle: Path, tmp_path: Path, short_drives: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.json"
    config = EvaluateConfig(world_model=toy_bundle, episodes=2, dream_episodes=3, out=out)
    run(config)
    run(config)  # its own report may be replaced
    report = json.loads(out.read_text(encoding="utf-8"))
    assert short_drives[0][0] == TEST_SEEDS[:2]
    assert report["reality"]["episodes"] == 2
    assert report["dream"]["episodes"] == 3
    assert [drive["seed"] for drive in report["episodes"]["reality"]] == [20_000, 20_001]
    scores = [drive["score"] for drive in report["episodes"]["dream"]]
    assert report["dream"]["mean"] == pytest.approx(np.mean(scores))
    assert {"dreamgym", "torch", "gymnasium"} <= report["versions"].keys()
    assert report["world_model"]["sha256"].keys() >= {"vision.safetensors", "memory.safetensors"}
    printed = capsys.readouterr().out
    assert f"{report['reality']['mean']:.1f} ± {report['reality']['std']:.1f}" in printed
    assert "tracks 20000..20001" in printed
    assert str(out) in printed
    assert list(tmp_path.iterdir()) == [out]  # no temporary file is left


def test_the_command_takes_other_seeds_and_no_dreams(toy_bundle: Path, tmp_path: Path, short_drives: list[Any]) -> None:
    out = tmp_path / "report.json"
    config = EvaluateConfig(
        world_model=toy_bundle, episodes=1, dream_episodes=0, first_seed=7, latent="mean", exact_drawing=False, out=out
    )
    run(config)
    seeds, options = short_drives[0]
    assert (list(seeds), options["latent"], options["exact_drawing"]) == ([7], "mean", False)
    assert "dream" not in json.loads(out.read_text(encoding="utf-8"))


def test_the_command_keeps_what_is_not_its_own(toy_bundle: Path, tmp_path: Path, short_drives: list[Any]) -> None:
    for text in ("notes", '{"kind": "other"}', "[]"):
        out = tmp_path / "precious.json"
        out.write_text(text, encoding="utf-8")
        with pytest.raises(OutputFolderError, match="precious"):
            run(EvaluateConfig(world_model=toy_bundle, out=out))
        assert out.read_text(encoding="utf-8") == text
    with pytest.raises(OutputFolderError, match="folder"):
        run(EvaluateConfig(world_model=toy_bundle, out=tmp_path))
    with pytest.raises(OutputFolderError, match="folder"):
        run(EvaluateConfig(world_model=toy_bundle, out=tmp_path / "none" / "report.json"))
    assert not short_drives


@pytest.mark.parametrize(
    "wrong", [{"episodes": 101}, {"episodes": -1}, {"episodes": 0, "dream_episodes": 0}, {"first_seed": -1}]
)
def test_the_command_refuses_numbers_out_of_range(toy_bundle: Path, tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"expected|episodes"):
        run(EvaluateConfig(world_model=toy_bundle, out=tmp_path / "report.json", **wrong))
