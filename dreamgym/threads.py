"""Work on tiles of rows, each on one core, with the user's torch thread settings left as they were.

An operation that torch splits over its own threads can round differently at the seams, and its spinning threads
starve on a busy machine. Here every tensor operation runs on one thread, and the cores are used by giving each a tile
of rows: results cannot depend on the number of threads. A forked process inherits torch's pool without its threads, and
waits for them for ever: whatever an environment computes, loading its weights included, must not use that pool.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

__all__ = ["for_each_tile", "one_thread_for_long", "single_thread"]

T = TypeVar("T")

_lock = threading.RLock()
_pool: tuple[int, int, ThreadPoolExecutor] | None = None  # process id, workers, pool


@contextmanager
def single_thread() -> Iterator[int]:
    """Run torch on one thread inside.

    Yields the number of threads that it had, and sets it again at the end.

    The setting is partly the process's (MKL) and partly the calling thread's (OpenMP), so only one thread may be in
    here at a time: a second one would take the first one's 1 for the user's wish.
    """
    with _lock:
        threads = torch.get_num_threads()
        if threads == 1:
            yield 1
            return
        torch.set_num_threads(1)
        try:
            yield threads
        finally:
            torch.set_num_threads(threads)


@contextmanager
def one_thread_for_long() -> Iterator[None]:
    """As :func:`single_thread`, around what takes so long that other threads must be let in meanwhile."""
    with _lock:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            torch.set_num_threads(threads)


def for_each_tile(work: Callable[[T], None], tiles: Sequence[T], threads: int) -> None:
    """Call ``work`` on every tile, on up to ``threads`` threads. To be called inside :func:`single_thread`.

    Args:
        work: takes a tile.
        tiles: in the order in which they are begun.
        threads: at most.
    """
    workers = min(threads, len(tiles)) - 1
    if workers < 1:
        for tile in tiles:
            work(tile)
        return
    remaining = iter(tiles)
    take = threading.Lock()

    def drain() -> None:
        while True:
            with take:
                tile = next(remaining, None)
            if tile is None:
                return
            work(tile)

    pool = _workers(threads - 1)
    futures = [pool.submit(drain) for _ in range(workers)]
    try:
        drain()
    finally:
        for future in futures:
            future.result()


def _workers(count: int) -> ThreadPoolExecutor:
    """The process's pool; a forked child inherits the object without its threads, and gets one of its own."""
    global _pool
    if _pool is None or _pool[:2] != (os.getpid(), count):
        _pool = (os.getpid(), count, ThreadPoolExecutor(count, thread_name_prefix="dreamgym", initializer=_settle))
    return _pool[2]


def _settle() -> None:
    torch.set_num_threads(1)


def _unlock() -> None:
    """A fork may come while another thread is inside, which its child does not have: nobody would let it in."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)
