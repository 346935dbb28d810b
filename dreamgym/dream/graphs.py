"""CUDA graphs: a step's seventy kernels in one launch, which for some thousands of rows takes longer than they do."""

from __future__ import annotations

from collections.abc import Callable

import torch

__all__ = ["capture", "wanted"]

_WARM_UP = 3  # as torch's documentation has it: libraries settle on their kernels and workspaces


def wanted(device: torch.device) -> bool:
    """Whether steps on this device are to be captured."""
    return device.type == "cuda"


def capture(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Record what ``work`` launches, to be launched again as a whole.

    Args:
        work: reads and writes tensors that stay where they are, never waits for the device, and may be done any
            number of times. What it makes is written anew by each replay.
        device: where those tensors are, which need not be torch's current device.

    Returns:
        The replay. Nothing of ``work`` but its kernels runs in it.
    """
    with torch.cuda.device(device):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                work()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Of this stream, since torch keeps one for all devices; other threads may go on allocating.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            work()
    replay: Callable[[], None] = graph.replay
    return replay
