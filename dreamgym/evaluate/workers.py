"""Processes that drive real tracks, watched: one that dies or stops answering is an error within seconds."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Final

import torch

from dreamgym.errors import ConfigError, WorkerError
from dreamgym.evaluate.policies import Policy
from dreamgym.evaluate.scores import EpisodeScore
from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.vision.vae import VAE
from dreamgym.world_model import StartBank, WorldModel

__all__ = ["Job", "Task", "drive_in_processes"]

STARTING_SECONDS = 600.0
"""How long a process may take to import and build what it needs, on a busy machine."""
SILENCE_SECONDS = 60.0
"""How long a driving process may be silent."""
REPORT_SECONDS: Final = 0.5
"""How often it reports: by the clock, since a busy machine can make a frame take a second."""


Task = tuple[int, int]
"""A policy, by its place among a job's, and a track's seed."""


@dataclass
class Job:
    """All that a process needs to drive; calling it drives one track with one policy."""

    drive: Callable[..., EpisodeScore]
    policies: Sequence[Policy]
    world: WorldModel
    latent: str
    exact_drawing: bool
    max_episode_steps: int
    noise: int = 0

    def __call__(self, task: Task, report: Callable[[int], Any]) -> EpisodeScore:
        """Drive, reporting the frames driven since the last report now and then."""
        number, seed = task
        unreported, last = 0, time.monotonic()

        def count(_: object) -> None:
            nonlocal unreported, last
            unreported += 1
            if time.monotonic() > last + REPORT_SECONDS:
                report(unreported)
                unreported, last = 0, time.monotonic()

        score = self.drive(
            self.policies[number],
            seed,
            world_model=self.world,
            latent=self.latent,
            exact_drawing=self.exact_drawing,
            max_episode_steps=self.max_episode_steps,
            noise=self.noise,
            on_step=count,
        )
        report(unreported)
        return score

    def __getstate__(self) -> dict[str, Any]:
        # Tensors would be moved to shared memory on their way to a process, of which containers have little.
        world = self.world
        memory = world.memory
        sizes = (memory.latent_size, memory.action_size, memory.hidden_size, memory.mixtures, memory.factors)
        tensors = [{key: value.numpy() for key, value in m.state_dict().items()} for m in (world.vision, memory)]
        return {**vars(self), "world": (sizes, *tensors, world.card)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        sizes, vision_arrays, memory_arrays, card = state["world"]
        vision, memory = VAE(sizes[0]), MDNRNN(*sizes)
        for module, arrays in ((vision, vision_arrays), (memory, memory_arrays)):
            module.load_state_dict({key: torch.from_numpy(array) for key, array in arrays.items()}, assign=True)
            module.eval().requires_grad_(False)
        nothing = torch.zeros(0)  # who drives in reality needs no start states
        starts = StartBank(nothing, nothing, nothing, nothing, nothing.bool(), nothing.bool())
        vars(self).update(state, world=WorldModel(vision, memory, starts, None, card))


class _Worker:
    """One process, the parent's end of its pipe, and what it is doing."""

    def __init__(self, job: Job) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, job), daemon=True)
        self.process.start()
        theirs.close()  # so that the process's death ends the pipe
        self.index: int | None = None
        self.deadline = time.monotonic() + STARTING_SECONDS

    def send(self, index: int, task: Task) -> None:
        self.index = index
        try:
            self.connection.send(task)
        except OSError as error:
            raise self.lost("died") from error

    def receive(self) -> Any:
        self.deadline = time.monotonic() + SILENCE_SECONDS
        try:
            return self.connection.recv()
        except (EOFError, OSError) as error:
            self.process.join(1.0)
            raise self.lost(f"died with exit code {self.process.exitcode}") from error

    def lost(self, how: str) -> WorkerError:
        return WorkerError(
            f"a driving process (pid {self.process.pid}) {how}; expected it to drive to the end. Its own message, if "
            "any, is above; out of memory is the usual cause, so try fewer workers"
        )

    def end(self) -> None:
        self.process.kill()  # a stopped process does not heed terminate
        self.process.join()
        self.connection.close()


def drive_in_processes(
    job: Job,
    tasks: Sequence[Task],
    workers: int,
    driven: Callable[[int], Any],
    finished: Callable[[int, EpisodeScore], None],
) -> None:
    """Drive every task.

    Args:
        job: what to drive with.
        tasks: which policy drives which track.
        workers: processes at once.
        driven: called with a number of frames that were driven.
        finished: called with the place of a task among the tasks, and its score.

    Raises:
        ConfigError: the policy cannot be pickled.
        WorkerError: a process died, or was silent for too long. The others are ended as well.
    """
    try:
        pickle.dumps(job.policies)
    except Exception as error:
        raise ConfigError(f"policy: expected one that can be pickled, for several processes; {error}") from error
    todo = deque(enumerate(tasks))
    crew: list[_Worker] = []
    try:
        with _one_thread_each():
            for _ in range(workers):
                crew.append(_Worker(job))  # noqa: PERF401 - those started before one fails must be ended
        for worker in crew:
            worker.send(*todo.popleft())
        while busy := [worker for worker in crew if worker.index is not None]:
            ready = wait([worker.connection for worker in busy], timeout=0.5)
            for worker in busy:
                if worker.connection in ready:
                    _heed(worker, worker.receive(), todo, driven, finished)
                elif time.monotonic() > worker.deadline:
                    raise worker.lost("stopped answering")
    finally:
        for worker in crew:
            worker.end()


def _heed(
    worker: _Worker,
    message: Any,
    todo: deque[tuple[int, Task]],
    driven: Callable[[int], Any],
    finished: Callable[[int, EpisodeScore], None],
) -> None:
    if isinstance(message, BaseException):
        raise message
    if isinstance(message, int):
        driven(message)
        return
    assert worker.index is not None
    finished(worker.index, message)
    worker.index = None
    if todo:
        worker.send(*todo.popleft())


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """What processes started inside inherit: workers must not each spin on all cores."""
    wanted = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "SDL_VIDEODRIVER": "dummy"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _work(connection: Connection[Any, Any], job: Job) -> None:
    """A process's life: tasks in, scores out; it ends when the parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    torch.set_num_threads(1)
    _send(connection, 0)  # from here on it is not starting but driving
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        try:
            message: object = job(task, connection.send)
        except OSError:
            return  # the parent is gone
        except Exception as error:
            message = error
        _send(connection, message)


def _send(connection: Connection[Any, Any], message: object) -> None:
    try:
        connection.send(message)
    except OSError:
        return
    except Exception:
        connection.send(WorkerError(f"a driving process failed: {message!r}"))
