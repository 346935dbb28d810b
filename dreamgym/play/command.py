"""The command ``dreamgym play``: a window, or a recording without one."""

from __future__ import annotations

import contextlib
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from dreamgym._compat import require_pygame
from dreamgym.config import PlayConfig

if TYPE_CHECKING:
    from dreamgym.play.session import Session

__all__ = ["make_session", "run", "terminable"]

_OWN_SEEDS: Final = 50_000_000
"""The last so many collection seeds, which no configuration of ``dreamgym collect`` reaches, are for play."""


def run(config: PlayConfig) -> None:
    """Open a window and play until it is closed, or record without one.

    Raises:
        InstallationError: pygame, ffmpeg or what the real environment needs is missing or broken.
        ConfigError: there is no display to open a window on.
        DreamGymError: whatever else keeps it from beginning, such as a missing world model.
    """
    require_pygame()
    from dreamgym.threads import one_thread_for_long

    # For single frames more threads save nothing, and while they wait they spin on the core that the display needs.
    with terminable() as obey_signals, one_thread_for_long():
        if config.record is not None:
            from dreamgym.play.recordings import record

            record(config, config.record, lambda: make_session(config, "controller"), obey_signals)
        else:
            from dreamgym.play.loop import play

            play(config, lambda: make_session(config, "you"), obey_signals)


def make_session(config: PlayConfig, default_player: str) -> Session:
    """The session that a configuration asks for.

    Args:
        config: see :class:`~dreamgym.config.PlayConfig`.
        default_player: who plays where it does not say.

    Raises:
        BundleError: no world model or controller, or a damaged one.
        ConfigError: reality is asked for and not known here, or a key has two meanings.
        OutputFolderError: episodes cannot be saved in that folder.
        SeedError: episodes are to be saved, of a seed kept for tests.
    """
    from dreamgym.data.seeds import COLLECTION_SEEDS
    from dreamgym.play.commands import require_free
    from dreamgym.play.episode_log import EpisodeFolder
    from dreamgym.play.players import choose, players
    from dreamgym.play.session import Session
    from dreamgym.world_model import WorldModel
    from dreamgym.worlds.registry import described

    world_model = WorldModel.load(config.world_model, world=config.world)
    require_free(world_model.actions)
    found = players(
        world_model, config.controller, trust_pickle=config.trust_pickle, vec_normalize=config.vec_normalize
    )
    folder = None if config.save_episodes is None else EpisodeFolder(config.save_episodes, config)
    seed = config.seed
    if seed is None:
        seed = COLLECTION_SEEDS.stop - _OWN_SEEDS + secrets.randbelow(_OWN_SEEDS // 2)
    return Session(
        world_model,
        found,
        described(config.world, world_model.world_name),
        player=choose(found, config.player or default_player),
        view=config.view,
        temperature=config.temperature,
        seed=seed,
        max_steps=config.max_steps,
        folder=folder,
    )


@contextlib.contextmanager
def terminable() -> Iterator[Callable[[], None]]:
    """SIGTERM and SIGHUP end the game as Ctrl-C does.

    Yields a function that ends it, too, once a signal has come, to be called in each step. Python drops the exception
    of a signal that comes in a destructor or in a weak reference's callback.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    came: list[int] = []

    def leave(number: int, _: Any) -> None:
        came.append(number)
        obey()

    def obey() -> None:
        if came:
            raise KeyboardInterrupt if came[0] == signal.SIGINT else SystemExit(128 + came[0])

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]  # nohup's wish
    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield obey
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
