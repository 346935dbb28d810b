"""A world described by looking at its environment."""

from __future__ import annotations

import functools
import json
import pickle
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

from dreamgym.collect.collect import record_episode
from dreamgym.collect.command import controller_players
from dreamgym.collect.controller_player import ControllerPlayer
from dreamgym.config import PipelineConfig
from dreamgym.controller.linear import LinearController
from dreamgym.data.episodes import read_episode, write_episode
from dreamgym.dream.latent_encoder import LatentEncoder
from dreamgym.errors import (
    ActionError,
    BundleVersionError,
    ConfigError,
    EpisodeFileError,
    ObservationError,
    RewardError,
)
from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.play.commands import require_free
from dreamgym.play.playable import PlayableReality
from dreamgym.world_model import WorldModel
from dreamgym.worlds import registry
from dreamgym.worlds.base import ModelSizes, World, actions_from_card, to_card
from dreamgym.worlds.from_env import PROBED_STEPS
from dreamgym.worlds.registry import find
from dreamgym.wrappers import LatentObservation, VectorLatentObservation

Frames = Callable[[int], Any]


class Screen(gym.Env[Any, Any]):
    """Shows what ``frames`` draws at each step, remembers its actions, pays its step number, and ends at 60 steps."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(
        self,
        render_mode: str | None,
        actions: gym.Space[Any],
        frames: Frames,
        observed: bool,
        pays: Callable[[int], float] = float,
    ) -> None:
        self.render_mode, self.action_space, self._frames, self._pays = render_mode, actions, frames, pays
        self._observed = observed
        shape = np.shape(frames(0))
        self.observation_space = (
            gym.spaces.Box(0, 255, shape, np.uint8) if observed else gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        )

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps, self.done = 0, []  # type: ignore[var-annotated]
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self.steps += 1
        self.done.append(action)
        return self._seen(), self._pays(self.steps), self.steps == 60, False, {}

    def _seen(self) -> Any:
        return self._frames(self.steps) if self._observed else np.zeros(2, np.float32)

    def render(self) -> Any:
        return self._frames(self.steps)


def bar(step: int, shape: tuple[int, ...] = (10, 12, 3)) -> NDArray[np.uint8]:
    frame = np.zeros(shape, np.uint8)
    frame[:, step % shape[1]] = 200
    return frame


DISCRETE = gym.spaces.Discrete(3)


def screen(
    actions: gym.Space[Any] = DISCRETE,
    frames: Frames = bar,
    observed: bool = True,
    pays: Callable[[int], float] = float,
) -> Callable[[str | None], gym.Env[Any, Any]]:
    return functools.partial(Screen, actions=actions, frames=frames, observed=observed, pays=pays)


def world_of(source: Any, **settings: Any) -> World:
    return World.from_env(source, **{"name": "Screen", "max_episode_steps": 40, **settings})


CUT = world_of(screen(), crop=(0, 5, 0, 12))


@pytest.mark.parametrize("observed", [True, False], ids=["observation", "render"])
def test_frames_come_from_the_observation_or_from_render(observed: bool) -> None:
    world = world_of(screen(observed=observed))
    episode = record_episode(world.players["uniform"](), 3, 12, world=world)
    assert episode.frames.shape == (13, 64, 64, 3)
    # A column of 12 lies under 64 / 12 columns of 64.
    assert [int(frame[0, :, 0].argmax() * 12 / 64 + 0.5) for frame in episode.frames[:12]] == list(range(12))
    assert episode.rewards.tolist() == list(range(1, 13))


@pytest.mark.parametrize("shape", [(9, 9), (9, 9, 1), (9, 9, 3)])
def test_grey_frames_of_two_dimensions_become_three_channels(shape: tuple[int, ...]) -> None:
    world = world_of(screen(frames=functools.partial(bar, shape=shape)))
    env = world.make_env(max_episode_steps=None)
    picture = world.preprocess(env.reset(seed=0)[0])
    assert picture.shape == (64, 64, 3)
    assert picture[0, 0].tolist() == [200, 200, 200]


SPACES: dict[str, tuple[gym.Space[Any], tuple[str, ...]]] = {
    "discrete": (gym.spaces.Discrete(3, start=2), ("held", "held_long", "uniform")),
    "binary": (gym.spaces.MultiBinary(4), ("held", "held_long", "uniform")),
    "box": (gym.spaces.Box(np.array([-2.0, 0.0]), np.array([2.0, 10.0]), dtype=np.float64), ("drifting", "held")),
}


@pytest.mark.parametrize("kind", SPACES)
def test_every_kind_of_action_reaches_the_environment_in_its_own_form(kind: str) -> None:
    space, players = SPACES[kind]
    world = world_of(screen(actions=space))
    assert actions_from_card(json.loads(json.dumps(to_card(world.actions)))) == world.actions
    for name in players:
        episode = record_episode(world.players[name](), 5, 40, world=world)  # the environment asserts what may be done
        assert len(episode) == 40
        low, high = world.actions.low, world.actions.high
        assert (episode.actions >= low).all() and (episode.actions <= high).all()
    assert len(np.unique(episode.actions, axis=0)) > 2


def test_a_boxs_ends_are_minus_one_and_one() -> None:
    world = world_of(screen(actions=SPACES["box"][0]))
    env = world.make_env()
    env.reset(seed=0)
    env.step(np.array([1.0, -1.0], np.float32))
    env.step(np.array([0.5, 0.0], np.float32))
    assert np.allclose(env.unwrapped.simulator.done, [[2.0, 0.0], [1.0, 5.0]])  # type: ignore[attr-defined]


def test_recorded_actions_are_those_done_before_the_next_frame() -> None:
    seen: list[int] = []

    class Told(Screen):
        def step(self, action: Any) -> Any:
            seen.append(int(action))
            return super().step(action)

    def make(mode: str | None) -> Told:
        return Told(mode, DISCRETE, bar, True)

    world = world_of(make)
    seen.clear()
    episode = record_episode(world.players["uniform"](), 1, 10, world=world)
    assert episode.actions.argmax(axis=1).tolist() == seen


def test_an_action_is_repeated_and_its_rewards_are_added_up() -> None:
    world = world_of(screen(), frame_skip=4, max_episode_steps=20)
    assert world.fps == 5
    env = world.make_env()
    env.reset(seed=0)
    frame, reward, *_ = env.step(1)
    assert reward == 1 + 2 + 3 + 4
    assert frame[0].argmax(axis=0)[0] == 4
    assert env.unwrapped.simulator.done == [1] * 4  # type: ignore[attr-defined]


def test_a_registered_environment_gives_name_time_limit_and_fps() -> None:
    world = World.from_env("CarRacing-v3", name="Racing", frame_skip=2, sizes=ModelSizes(latents=7))
    assert (world.name, world.env_id, world.max_episode_steps, world.fps) == ("Racing", "CarRacing-v3", 500, 25)
    assert world.actions.size == 3 and world.preprocess.raw_shape == (96, 96, 3)
    assert world.sizes.latents == 7


def test_a_description_can_be_sent_to_a_process_and_trained_by_its_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World.from_env("CarRacing-v3", name="Racing")
    assert pickle.loads(pickle.dumps(world)).actions == world.actions
    assert {"crop (0, 96, 0, 96), grey False, frame skip 1"} <= set(world.recorded_versions().values())
    monkeypatch.setitem(registry._entries, "Racing", world)
    config = PipelineConfig.of("Racing", out=tmp_path)
    assert config.recordings == world.recordings and config.evolve.smoothness == 0.0


@pytest.mark.parametrize("picture", ["observation", "render"])
def test_resets_without_a_seed_differ_and_with_one_repeat(picture: Literal["observation", "render"]) -> None:
    class Random(Screen):
        """Begins at a random number of steps."""

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
            super().reset(seed=seed)
            self.steps = int(self.np_random.integers(10**9))
            return self._seen(), {}

    world = world_of(lambda mode: Random(mode, DISCRETE, bar, True, lambda _: 0.0), picture=picture)
    envs = [world.make_env() for _ in range(3)]

    def begun(seed: int | None) -> list[int]:
        for env in envs:
            env.reset(seed=seed)
        return [env.unwrapped.simulator.steps for env in envs]  # type: ignore[attr-defined]

    assert len(set(begun(None))) == 3
    assert len(set(begun(5))) == 1
    assert begun(5) == begun(5)


def test_an_environments_own_key_for_success_does_not_hide_its_termination(tmp_path: Path) -> None:
    class Succeeds(Screen):
        def step(self, action: Any) -> Any:
            observation, reward, terminated, truncated, _ = super().step(action)
            return observation, reward, np.bool_(terminated), truncated, {"complete": True}

    world = world_of(lambda mode: Succeeds(mode, DISCRETE, bar, True), max_episode_steps=100)
    write_episode(tmp_path / "episode.npz", record_episode(world.players["uniform"](), 0, 100, world=world))
    episode = read_episode(tmp_path / "episode.npz")
    assert (len(episode), episode.terminated, episode.complete, episode.failed) == (60, True, False, True)


def test_players_of_ones_own_record() -> None:
    class Mine:
        pass

    world = world_of(screen(), players={"mine": Mine})
    assert {name: dict(each.mix) for name, each in world.recordings.items()} == {"random": {"mine": 1.0}}


def test_frames_cut_otherwise_are_another_version() -> None:
    settings: list[dict[str, Any]] = [{}, {"crop": (0, 5, 0, 12)}, {"grey": True}, {"frame_skip": 2}]
    settings += [{"picture": "render"}, {"picture": "render", "frame_skip": 2}]
    crops: list[Any] = [(0, 5, 0, 12), [0, 5, 0, 12], tuple(np.array([0, 5, 0, 12]))]
    assert len({world_of(screen(), crop=crop).preprocess.version for crop in crops}) == 1
    versions = [world_of(screen(), **each).preprocess.version for each in settings]
    assert len(set(versions)) == 6
    shown, drawn = (world_of(screen(observed=observed)).preprocess.version for observed in (True, False))
    assert shown == drawn  # there is nothing else to see
    assert versions == [world_of(screen(), **each).preprocess.version for each in settings]


def test_a_name_without_its_version_is_the_latest() -> None:
    with pytest.warns(UserWarning, match="latest"):
        world = World.from_env("CarRacing", name="Racing")
    assert world.max_episode_steps == 1000


def test_own_actions_become_those_of_the_description() -> None:
    discrete = world_of(screen(actions=SPACES["discrete"][0]))  # 2, 3 and 4
    box, binary = (world_of(screen(actions=SPACES[name][0])) for name in ("box", "binary"))
    fixed = world_of(screen(actions=gym.spaces.Box(np.array([5.0, 0.0]), np.array([5.0, 1.0]), dtype=np.float64)))
    for world, own, wanted in (
        (discrete, [2, 4], [[1, 0, 0], [0, 0, 1]]),
        (box, [[-2.0, 0.0], [1.0, 10.0]], [[-1.0, -1.0], [0.5, 1.0]]),
        (binary, [[0, 1, 1, 0]], [[0, 1, 1, 0]]),
        (fixed, [[5.0, 0.0]], [[-1.0, -1.0]]),
    ):
        assert world.own_actions is not None
        described = world.own_actions(np.array(own))
        assert described.dtype == np.float32 and described.tolist() == wanted
        env = world.make_env()
        env.reset(seed=0)
        for action in described:
            env.step(world.actions.as_given(action))
        assert np.allclose(env.unwrapped.simulator.done, own)  # type: ignore[attr-defined]
    refused = [(discrete, [1]), (discrete, [2.5]), (discrete, [[2, 3]]), (box, [[-2.1, 0.0]]), (box, [[np.nan, 0.0]])]
    for world, own in [*refused, (box, [1.0]), (binary, [[0, 2, 0, 0]])]:
        assert world.own_actions is not None
        with pytest.raises(ActionError, match="expected actions of"):
            world.own_actions(np.array(own))


REFUSED: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "no pictures": (
        screen(frames=lambda step: np.zeros(4, np.float32), observed=False),
        {},
        ObservationError,
        r"float32 of shape \(4,\)",
    ),
    "nothing rendered": (screen(frames=lambda step: None, observed=False), {}, ObservationError, "NoneType"),
    "frames change": (
        screen(frames=lambda step: bar(0, (10 + (step > 30), 10, 3)), observed=False),
        {},
        ObservationError,
        "every frame",
    ),
    "reward": (screen(pays=lambda step: float("nan") if step > 20 else 0.0), {}, RewardError, "finite rewards"),
    "several rewards": (screen(pays=lambda step: np.zeros(2)), {}, RewardError, "a number as reward"),  # type: ignore[arg-type, return-value]
    "tuple": (screen(actions=gym.spaces.Tuple([DISCRETE])), {}, ActionError, "Discrete"),
    "one action": (screen(actions=gym.spaces.Discrete(1)), {}, ActionError, "two or more"),
    "unbounded": (screen(actions=gym.spaces.Box(-np.inf, np.inf, (2,))), {}, ActionError, "finite Box"),
    "matrix": (screen(actions=gym.spaces.Box(-1, 1, (2, 2))), {}, ActionError, "finite Box"),
    "no such id": ("Nowhere-v0", {"name": None}, ConfigError, "Nowhere"),
    "no such module": ("no_such_module:Nowhere-v0", {"name": None}, ConfigError, "no_such_module"),
    "no name": (screen(), {"name": None}, ConfigError, "name"),
    "a name that is taken": ("CarRacing-v3", {"name": None}, ConfigError, "world of the package"),
    "another spelling of it": ("CarRacing-v3", {"name": "carRacing"}, ConfigError, "world of the package"),
    "a name for no id": ("CarRacing-v3", {"name": "My World"}, ConfigError, "letters and digits"),
    "picture": (screen(), {"picture": "rendered"}, ConfigError, "picture"),
    "no time limit": (screen(), {"max_episode_steps": None}, ConfigError, "max_episode_steps"),
    "crop": (screen(), {"crop": (0, 11, 0, 12)}, ConfigError, "crop"),
    "three edges": (screen(), {"crop": (0, 5, 0)}, ConfigError, "crop: expected four whole numbers"),
    "half a pixel": (screen(), {"crop": (0, 5, 0, 6.5)}, ConfigError, "crop: expected four whole numbers"),
    "skip": (screen(), {"frame_skip": 0}, ConfigError, "frame_skip"),
    "half a skip": (screen(), {"frame_skip": 1.5}, ConfigError, "frame_skip: expected a whole number"),
    "a time limit of nothing": (screen(), {"max_episode_steps": 0}, ConfigError, "max_episode_steps: expected a whole"),
    "a time limit that is no number": (screen(), {"max_episode_steps": True}, ConfigError, "max_episode_steps"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_anything_is_recorded(case: str) -> None:
    source, settings, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        world_of(source, **settings)


def test_what_only_shows_later_is_refused_while_it_is_recorded() -> None:
    late = PROBED_STEPS + 2
    world = world_of(screen(pays=lambda step: float("inf") if step > late else 0.0), max_episode_steps=60)
    with pytest.raises(RewardError, match="finite"):
        record_episode(world.players["held"](), 0, 60, world=world)


def test_keys_do_not_take_those_of_play() -> None:
    for space in (gym.spaces.Discrete(18), gym.spaces.MultiBinary(12), gym.spaces.Box(-1, 1, (3,))):
        actions = world_of(screen(actions=space)).actions
        assert actions.keys
        require_free(actions)


@pytest.mark.parametrize(
    ("module", "library", "player"),
    [("pendulum:PENDULUM", "pygame", "drifting"), ("freeway:FREEWAY", "ale_py", "held"),
     ("space_invaders:SPACE_INVADERS", "minatar", "held")],
)  # fmt: skip
def test_the_examples_record(module: str, library: str, player: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    folder = Path(__file__).parents[2] / "docs" / "examples" / "worlds"
    monkeypatch.syspath_prepend(folder)
    assert len((folder / f"{module.split(':')[0]}.py").read_text(encoding="utf-8").splitlines()) < 40
    world = find(module)
    episode = record_episode(world.players[player](), 1, 10, world=world)
    assert episode.frames.std(axis=(1, 2, 3)).min() > 5  # something is drawn


def bundle_of(world: World, make_world_model: Callable[..., WorldModel]) -> WorldModel:
    """Of an untrained V and M."""
    model = make_world_model(latent_size=8, hidden_size=12)
    memory = MDNRNN(8, world.actions.size, 12, 3).eval().requires_grad_(False)
    card = {"world": world.name, "actions": to_card(world.actions), "rewards": to_card(world.rewards)}
    card |= {"preprocess_version": world.preprocess.version}
    return WorldModel(model.vision, memory, model.starts, None, {**model.card, **card})


def test_a_description_that_makes_its_environment_otherwise_takes_that(
    make_world_model: Callable[..., WorldModel],
) -> None:
    def make(render_mode: str | None = None, max_episode_steps: int | None = 40, **_: Any) -> gym.Env[Any, Any]:
        return gym.wrappers.TimeLimit(screen()(render_mode), max_episode_steps or 40)

    world = world_of(screen(), make_env=make)
    assert world.own_actions is None
    bundle = bundle_of(world, make_world_model)
    env = gym.make("dreamgym:Latent-v0", world_model=bundle, world=world)
    env.reset(seed=1)
    env.step(0)


def test_frames_that_were_made_otherwise_are_refused(
    tmp_path: Path, make_world_model: Callable[..., WorldModel]
) -> None:
    world, other = world_of(screen()), world_of(screen(), crop=(0, 5, 0, 12))
    with pytest.raises(BundleVersionError, match="such as by another crop"):
        gym.make("dreamgym:Latent-v0", world_model=bundle_of(world, make_world_model), world=other)
    write_episode(tmp_path / "episode.npz", record_episode(world.players["uniform"](), 0, 40, world=world))
    read_episode(tmp_path / "episode.npz", world)
    with pytest.raises(EpisodeFileError, match="such as by another crop"):
        read_episode(tmp_path / "episode.npz", other)


def test_other_actions_than_the_bundles_are_refused(make_world_model: Callable[..., WorldModel]) -> None:
    bundle = bundle_of(world_of(screen()), make_world_model)
    for space in (gym.spaces.Discrete(4), gym.spaces.Box(-1, 1, (1,)), gym.spaces.Box(-1, 1, (3,))):
        with pytest.raises(BundleVersionError, match="expected the actions of Screen as it is described, got others"):
            gym.make("dreamgym:Latent-v0", world_model=bundle, world=world_of(screen(actions=space)))


def test_the_other_kind_of_actions_and_a_window_are_refused(make_world_model: Callable[..., WorldModel]) -> None:
    discrete, box = world_of(screen()), world_of(screen(actions=gym.spaces.Box(-1, 1, (2,))))
    for world, continuous in ((discrete, True), (box, False)):
        bundle = bundle_of(world, make_world_model)
        with pytest.raises(ConfigError, match=f"continuous={continuous}"):
            gym.make("dreamgym:Latent-v0", world_model=bundle, world=world, continuous=continuous)
        gym.make("dreamgym:Latent-v0", world_model=bundle, world=world, continuous=not continuous)
    rendered = world_of(screen(observed=False))
    with pytest.raises(ConfigError, match=r"render_mode: expected None or 'rgb_array'.*'human'"):
        rendered.make_env(render_mode="human")


def test_frames_of_vs_size_are_preprocessed_once(make_world_model: Callable[..., WorldModel]) -> None:
    """Raw and preprocessed frames cannot be told by their shape."""
    world = world_of(screen(frames=lambda step: bar(step, (64, 64, 3))), name="Sized", crop=(0, 32, 0, 64))
    registry.register(world)
    try:
        bundle = bundle_of(world, make_world_model)
        raw = bar(3, (64, 64, 3))
        frame = world.preprocess(raw)
        wanted = LatentEncoder(bundle, latent="mean")
        wanted.reset(raw[None])
        player = ControllerPlayer(bundle, LinearController.zeros(20, world.actions.squash), latent="mean")
        player.reset(None, np.random.default_rng(0))
        player.act(frame)
        np.testing.assert_array_equal(player.encoder.features(), wanted.features())
        assert PlayableReality(bundle, world).encoder._preprocess is None
    finally:
        del registry._entries["Sized"]


def test_players_and_play_see_frames_as_v_did(make_world_model: Callable[..., WorldModel], tmp_path: Path) -> None:
    bundle = bundle_of(find(f"{__name__}:CUT"), make_world_model)
    bundle.card |= {"preprocess_version": CUT.preprocess.version + 1, "fps": CUT.fps, "max_episode_steps": 40}
    bundle.save(tmp_path / "world")
    LinearController.zeros(20, bundle.actions.squash).save(tmp_path / "controller.safetensors")
    with pytest.raises(BundleVersionError, match="such as by another crop"):
        controller_players(tmp_path / "world", tmp_path / "controller.safetensors", f"{__name__}:CUT")
    real = PlayableReality(bundle, CUT)  # which a dream that is played alone needs none of
    with pytest.raises(BundleVersionError, match="such as by another crop"):
        real.reset(0)


def test_wrappers_take_what_the_description_makes_alone(make_world_model: Callable[..., WorldModel]) -> None:
    world, other = (world_of(screen(), frame_skip=skip) for skip in (4, 2))
    arguments = {"world_model": bundle_of(world, make_world_model), "world": world}
    for env in (screen()("rgb_array"), other.make_env()):
        with pytest.raises(ObservationError, match=r"make_env\(\)"):
            LatentObservation(env, **arguments)
        with pytest.raises(ObservationError, match=r"make_env\(\)"):
            VectorLatentObservation(gym.vector.SyncVectorEnv([lambda env=env: env]), **arguments)  # type: ignore[misc]
    LatentObservation(world.make_env(), **arguments).reset(seed=0)
    skipping = LatentObservation(Twice(world.make_env()), **arguments)
    skipping.reset(seed=0)
    with pytest.raises(ObservationError, match="one step of its own"):
        skipping.step(0)


class Twice(gym.Wrapper[Any, Any, Any, Any]):
    """Makes two steps of one."""

    def step(self, action: Any) -> Any:
        self.env.step(action)
        return self.env.step(action)


@pytest.mark.parametrize("kind", SPACES)
def test_it_can_be_seen_through_v_and_m(kind: str, make_world_model: Callable[..., WorldModel]) -> None:
    world = world_of(screen(actions=SPACES[kind][0]))
    bundle = bundle_of(world, make_world_model)
    env = gym.make("dreamgym:Latent-v0", world_model=bundle, world=world)
    assert env.action_space == world.actions.space()
    env.reset(seed=1)
    env.action_space.seed(1)
    assert [env.step(env.action_space.sample())[1] for _ in range(4)] == [1.0, 2.0, 3.0, 4.0]


def test_numpys_whole_numbers_are_whole_numbers() -> None:
    world = world_of(screen(), frame_skip=np.int64(2), max_episode_steps=np.int32(30), frames=np.int64(500))
    assert type(world.max_episode_steps) is int and type(world.own_recording.frames) is int  # type: ignore[union-attr]
    json.dumps(world.own_recording.lengths)  # type: ignore[union-attr]


def test_a_recipe_of_ones_own_changes_what_it_names() -> None:
    usual = world_of(screen()).recipe
    world = world_of(screen(), recipe={"memory": {"steps": 7}, "memory_round_steps": 3})
    assert world.recipe == {**usual, "memory": {**usual["memory"], "steps": 7}, "memory_round_steps": 3}
