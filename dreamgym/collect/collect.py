"""Recording real episodes, in worker processes.

Episode i of a collection is a pure function of the configuration and i (its seed, player, length and every random
choice), so workers share nothing and a collection that was cut off goes on where it stopped.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dreamgym import parallel
from dreamgym.config import CollectConfig
from dreamgym.data.episodes import Episode, pack_episode, read_episode, require_labels
from dreamgym.data.seeds import COLLECTION_SEEDS, refuse_test_seeds
from dreamgym.errors import ActionError, ConfigError, EpisodeFileError, OutputFolderError, RewardError
from dreamgym.files import claim_folder, file_sha256, write_bytes
from dreamgym.world_model import locate
from dreamgym.worlds.base import LabelRecorder, Player, World
from dreamgym.worlds.real_envs import RealEnvs
from dreamgym.worlds.registry import find

__all__ = ["PlannedEpisode", "PlayerFactory", "collect", "plan", "record_episode"]

PlayerFactory = Callable[[], Player]

_EPISODES_A_SEED = 1_000_000
_ROUNDING = 1e-6
"""What actions may be beyond their range, as for the dream."""
_EPISODES_OF_A_WORKER = 400  # simulators leak: Box2D a third of a megabyte at every reset


@dataclass(frozen=True)
class PlannedEpisode:
    """One entry of a collection's plan."""

    index: int
    seed: int
    player: str
    length: int

    @property
    def file_name(self) -> str:
        """The shard's name."""
        return f"episode-{self.index:06d}.npz"


def plan(config: CollectConfig) -> Iterator[PlannedEpisode]:
    """The episodes of a collection, in order.

    Until their lengths add up to the frames asked for.
    """
    names = sorted(name for name, share in config.mix.items() if share > 0)
    shares = np.array([config.mix[name] for name in names])
    first_seed = COLLECTION_SEEDS.start + config.seed * _EPISODES_A_SEED
    planned = 0
    for index in itertools.count():
        if planned >= config.frames:
            return
        rng = np.random.default_rng([config.seed, index])
        length = min(int(rng.choice(config.lengths)), max(config.frames - planned, 50))
        yield PlannedEpisode(index, first_seed + index, str(rng.choice(names, p=shares / shares.sum())), length)
        planned += length


def record_episode(
    player: Player,
    seed: int,
    length: int,
    *,
    player_name: str = "",
    patience: int | None = None,
    world: World | str | None = None,
    envs: RealEnvs | None = None,
) -> Episode:
    """Play one real episode and record it.

    Args:
        player: chooses the actions.
        seed: of the environment, and of the player's choices.
        length: time limit, steps.
        player_name: recorded with the episode.
        patience: truncate after so many steps without a gain; None for never.
        world: the description of the environment, or its name; None for the default one.
        envs: gives the environment, in place of ``world``; of a process that records many episodes.

    Raises:
        ActionError: the player's action is of another shape, out of range or not finite.
        ConfigError: the world's recorder does not give a label that M is to learn.
        EpisodeFileError: it gives one of another shape.
        ObservationError: the world's preprocessing does not give pictures for V.
        RewardError: a reward is not finite, or beyond float32.
    """
    envs = RealEnvs(find(world), keep=False) if envs is None else envs
    world = envs.world
    rule, labels = world.rewards, world.labels
    with envs.episode(length) as env:
        observation, _ = env.reset(seed=seed)
        player.reset(env.unwrapped, np.random.default_rng([seed, 1]))
        recorder = None if labels.record is None else labels.record(env)
        frames, rewards = [_frame(world, observation)], []
        actions: list[NDArray[np.float32]] = []
        terminated = truncated = False
        idle = 0
        info: dict[str, object] = {}
        while not (terminated or truncated):
            executed = _executed(world, player.act(frames[-1]), player_name or type(player).__name__)
            observation, reward, terminated, truncated, info = env.step(world.actions.as_given(executed))
            if not abs(float(reward)) <= float(np.finfo(np.float32).max):  # neither is NaN
                raise RewardError(
                    f"{world.name}, seed {seed}, step {len(actions) + 1}: expected a finite reward within float32, "
                    f"got {reward!r}; correct the environment"
                )
            frames.append(_frame(world, observation))
            actions.append(executed)
            rewards.append(reward)
            if recorder is not None:
                recorder.step()
            idle = 0 if float(reward) > max(rule.constant, 0.0) else idle + 1
            truncated = truncated or idle == patience
        return Episode(
            frames=np.stack(frames),
            actions=np.stack(actions),
            rewards=np.array(rewards, np.float32),
            terminated=bool(terminated),  # an environment may say it by NumPy's types, which JSON does not take
            truncated=bool(truncated),
            complete=rule.completed(info),
            total_units=rule.unit if labels.total_units is None else float(labels.total_units(env)),
            seed=seed,
            player=player_name,
            versions=world.recorded_versions(),
            labels={} if recorder is None else _labels(recorder, world, len(actions)),
            world=world.name,
        )


def _labels(recorder: LabelRecorder, world: World, steps: int) -> Mapping[str, NDArray[np.float32]]:
    """What the recorder saw, all of what M is to learn among it: a label that is missing would train nothing."""
    labels = recorder.labels()
    wanted = {each.label for each in world.labels.auxiliaries}
    if not wanted <= set(labels):
        raise ConfigError(
            f"labels: expected the recorder of {world.name} to give {sorted(wanted)}, which its auxiliaries learn; got "
            f"{sorted(labels)}"
        )
    require_labels(f"the recorder of {world.name}", labels, steps, world)
    return labels


def _frame(world: World, observation: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The preprocessed frame, a copy: an environment may show every frame in the same array."""
    # In a batch, as the encoder calls it: a `convert` that takes single frames only fails here, not hours later.
    return np.array(world.preprocess(observation[None])[0])


def _executed(world: World, given: Any, player: str) -> NDArray[np.float32]:
    """What the world does of a player's action, a copy as well."""
    actions = world.actions
    low, high = np.array(actions.low, np.float32), np.array(actions.high, np.float32)
    try:
        wanted = np.array(given, np.float32)
    except (TypeError, ValueError):
        wanted = np.empty(0, np.float32)
    fits = wanted.shape == low.shape and ((wanted >= low - _ROUNDING) & (wanted <= high + _ROUNDING)).all()
    if not fits:
        raise ActionError(
            f"player {player}: expected actions of {actions.size} numbers within {actions.low} and {actions.high}, got "
            f"{given!r}; correct the player"
        )
    return np.array(actions.executed(np.clip(wanted, low, high)))


def collect(config: CollectConfig, factories: Mapping[str, PlayerFactory] | None = None) -> Path:
    """Record the episodes of a plan that are not there yet.

    Args:
        config: what to record.
        factories: of the players that a controller makes, by name, see
            :func:`dreamgym.collect.command.controller_players`; picklable, since workers are processes of their own.
            Players of your own belong into the world's ``players``.

    Returns:
        The folder of the episodes.

    Raises:
        ConfigError: a player in the mix is unknown.
        WorkerError: a worker process died.
    """
    world = find(config.world)
    known = {**world.players, **(factories or {})}
    unknown = sorted({name for name, share in config.mix.items() if share > 0} - set(known))
    if unknown:
        raise ConfigError(f"mix: unknown players {unknown}; there are {sorted(known)}")
    with claim_folder(config.out, config, may_differ=("workers", "engine"), inputs=_inputs(config)):
        return _collect(config, factories or {})


def _inputs(config: CollectConfig) -> dict[str, str | None]:
    """The version of the frames, and SHA-256 of what the players read."""
    found: dict[str, str | None] = {"preprocess_version": str(find(config.world).preprocess.version)}
    if config.controller is not None:
        card = locate(config.world_model, config.world) / "card.json"
        found |= {"controller_sha256": file_sha256(config.controller), "world_model_sha256": file_sha256(card)}
    return found


def _collect(config: CollectConfig, factories: Mapping[str, PlayerFactory]) -> Path:
    todo = list(plan(config))
    refuse_test_seeds((planned.seed for planned in todo), "collection")
    missing = [planned for planned in todo if not _is_recorded(config.out / planned.file_name, planned)]
    recorder = _Recorder(find(config.world), dict(factories), config.patience)
    frames = 0
    # Counted in episodes: many end before their planned length, and the time left would be too long.
    with tqdm(total=len(todo), initial=len(todo) - len(missing), unit="episode", desc="collect", mininterval=2) as bar:
        while missing:
            with parallel.start(_recording, recorder, workers=config.workers, engine=config.engine) as workers:
                at_once = _EPISODES_OF_A_WORKER * workers.count
                # Written here, since workers may be on machines that do not share the folder.
                for place, (length, shard) in workers.results(missing[:at_once]):
                    write_bytes(config.out / missing[place].file_name, shard)
                    frames += length
                    bar.set_postfix(frames=frames, refresh=False)
                    bar.update()
            missing = missing[at_once:]
    return config.out


def _is_recorded(path: Path, planned: PlannedEpisode) -> bool:
    """Whether the planned episode is there, whole; a warning names a shard that is damaged."""
    if not path.exists():
        return False
    try:
        episode = read_episode(path)
    except EpisodeFileError as error:
        warnings.warn(f"recorded again, to the same episode: {error}", stacklevel=4)
        return False
    if (episode.seed, episode.player) != (planned.seed, planned.player):
        raise OutputFolderError(
            f"{path}: expected the episode of player {planned.player} with seed {planned.seed}, got another recording, "
            f"of {episode.player} with seed {episode.seed}; move it elsewhere, or choose another output folder"
        )
    return True


class _Recorder(NamedTuple):
    """What all episodes of a collection share."""

    world: World
    factories: Mapping[str, PlayerFactory]
    """Of players that the world does not have."""
    patience: int | None


def _recording(recorder: _Recorder) -> Callable[[PlannedEpisode], tuple[int, bytes]]:
    """From a planned episode to its length and the bytes of its shard."""
    factories = {**recorder.world.players, **recorder.factories}
    envs = RealEnvs(recorder.world)

    def record(planned: PlannedEpisode) -> tuple[int, bytes]:
        player = factories[planned.player]()
        episode = record_episode(
            player,
            planned.seed,
            planned.length,
            player_name=planned.player,
            patience=recorder.patience,
            envs=envs,
        )
        return len(episode), pack_episode(episode)

    return record
