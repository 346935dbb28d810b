"""Policies from files: a controller, a Stable-Baselines3 archive, and nobody's pickle untrusted."""

from __future__ import annotations

import base64
import importlib
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dreamgym.controller.linear import LinearController
from dreamgym.errors import BundleError, BundleNotFoundError, ConfigError, ObservationError, UntrustedPickleError
from dreamgym.evaluate import evaluate_dream, load_policy
from dreamgym.evaluate.policies import SB3Policy
from dreamgym.world_model import WorldModel
from dreamgym.worlds.registry import find


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


def test_controller_of_another_world_model_is_named(toy_world_model: WorldModel, tmp_path: Path) -> None:
    for name, controller in (
        ("small", LinearController.from_parameters(np.zeros(60, np.float32))),
        ("other", LinearController.zeros(20, ("tanh",))),
    ):
        controller.save(tmp_path / name)
        with pytest.raises(ConfigError, match=rf"{name}: .*another world model"):
            load_policy(tmp_path / name, toy_world_model)


class Evil:
    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.sentinel),)


def test_a_pickle_is_not_read_untrusted(toy_world_model: WorldModel, tmp_path: Path) -> None:
    sentinel, path = tmp_path / "sentinel", tmp_path / "evil.zip"
    evil = base64.b64encode(pickle.dumps(Evil(sentinel))).decode()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", json.dumps({"policy_class": {":type:": "x", ":serialized:": evil}}))
    errors = {"evil.zip": UntrustedPickleError, "evil.safetensors": BundleError, "evil": BundleError}
    for name, error in errors.items():
        (tmp_path / name).write_bytes(path.read_bytes())
        with pytest.raises(error):
            load_policy(tmp_path / name, toy_world_model)
    with pytest.raises(UntrustedPickleError, match="trust-pickle"):
        load_policy(path, toy_world_model)
    assert not sentinel.exists()
    pickle.loads(base64.b64decode(evil))  # the trap is armed
    assert sentinel.exists()


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


@pytest.mark.filterwarnings("ignore:unpickling")
def test_an_sb3_policy_sees_what_vec_normalize_made_of_observations(
    toy_world_model: WorldModel, tmp_path: Path
) -> None:
    normalizing = pytest.importorskip("stable_baselines3.common.vec_env")
    model = saved_ppo(tmp_path / "ppo.zip", 20, 0.0)
    envs = normalizing.VecNormalize(model.get_env(), norm_reward=False)
    envs.obs_rms.mean, envs.obs_rms.var = np.linspace(-1, 1, 20), np.full(20, 4.0)
    envs.save(str(tmp_path / "vecnormalize.pkl"))
    seen = np.random.default_rng(0).standard_normal((3, 20)).astype(np.float32)
    statistics = tmp_path / "vecnormalize.pkl"
    policy = load_policy(tmp_path / "ppo.zip", toy_world_model, trust_pickle=True, vec_normalize=statistics)
    expected, _ = model.predict(((seen - np.linspace(-1, 1, 20)) / 2).astype(np.float32), deterministic=True)
    sent = pickle.dumps(policy)
    hidden = [path.rename(path.with_suffix(".away")) for path in (statistics, tmp_path / "ppo.zip")]
    received = pickle.loads(sent)  # on a machine that has neither file
    for path, name in zip(hidden, (statistics, tmp_path / "ppo.zip"), strict=True):
        path.rename(name)
    for each in (policy, received):
        np.testing.assert_allclose(each(seen), np.clip(expected, [-1, 0, 0], 1), atol=1e-5)
    with pytest.warns(UserWarning, match=r"give them by --vec-normalize .*vecnormalize\.pkl"):
        load_policy(tmp_path / "ppo.zip", toy_world_model, trust_pickle=True)
    with pytest.raises(ConfigError, match="VecNormalize"):
        load_policy(tmp_path / "ppo.zip", toy_world_model, trust_pickle=True, vec_normalize=tmp_path / "ppo.zip")
    with pytest.raises(ConfigError, match="leave it out"):
        load_policy(None, toy_world_model, vec_normalize=statistics)


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


def test_archive_of_discrete_actions_gives_their_numbers(tmp_path: Path) -> None:
    library = pytest.importorskip("stable_baselines3")
    import gymnasium as gym

    class Env(gym.Env[Any, Any]):
        observation_space = gym.spaces.Box(-10, 10, (20,), np.float32)
        action_space = gym.spaces.Discrete(5)

    model = library.PPO("MlpPolicy", Env(), n_steps=8, batch_size=8, device="cpu", seed=0)
    with torch.no_grad():
        model.policy.action_net.weight.mul_(300.0)
    model.save(tmp_path / "discrete.zip")
    seen = np.random.default_rng(0).normal(size=(12, 20)).astype(np.float32)
    chosen = model.predict(seen, deterministic=True)[0]
    assert len(set(chosen.tolist())) > 1
    actions = find().actions
    policy = SB3Policy(tmp_path / "discrete.zip")
    np.testing.assert_array_equal(policy(seen), np.array(actions.discrete, np.float32)[chosen])
    with pytest.raises(ConfigError, match="3 discrete actions"):
        SB3Policy(tmp_path / "discrete.zip", actions=find("doom-take-cover").actions)


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


@pytest.mark.filterwarnings("ignore:unpickling")
@pytest.mark.parametrize("name", ["DQN", "QRDQN", "PPO"])
def test_archives_of_discrete_agents_drive(toy_world_model: WorldModel, tmp_path: Path, name: str) -> None:
    pytest.importorskip("stable_baselines3")
    library = pytest.importorskip("sb3_contrib" if name == "QRDQN" else "stable_baselines3")
    import gymnasium as gym

    class Env(gym.Env[Any, Any]):
        observation_space = gym.spaces.Box(-10, 10, (20,), np.float32)
        action_space = gym.spaces.Discrete(5)

    sizes = {"buffer_size": 10} if name != "PPO" else {"n_steps": 8, "batch_size": 8}
    getattr(library, name)("MlpPolicy", Env(), device="cpu", seed=0, **sizes).save(tmp_path / "agent.zip")
    policy = load_policy(tmp_path / "agent.zip", toy_world_model, trust_pickle=True)
    actions = policy(np.random.default_rng(0).standard_normal((30, 20)).astype(np.float32))
    assert {tuple(action) for action in actions.tolist()} <= {
        tuple(np.float32(action).tolist()) for action in toy_world_model.actions.discrete
    }


@pytest.mark.filterwarnings("ignore:unpickling")
def test_what_is_no_archive_is_said_once(toy_world_model: WorldModel, tmp_path: Path) -> None:
    pytest.importorskip("stable_baselines3")
    path = tmp_path / "ppo.zip"
    path.write_bytes(b"no archive")
    with pytest.raises(ConfigError, match=r"ppo\.zip: expected an SB3 archive, got a file that is no zip archive"):
        load_policy(path, toy_world_model, trust_pickle=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "none of SB3's")
    with pytest.raises(ConfigError, match="expected an archive of an algorithm's save; PPO, A2C, SAC") as caught:
        load_policy(path, toy_world_model, trust_pickle=True)
    assert len(str(caught.value)) < 400
