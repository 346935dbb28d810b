"""A few of a bundle's start states, of every kind: a file for other runtimes needs no thousands of them."""

from __future__ import annotations

import torch
from torch import Tensor

from dreamgym.world_model import StartBank

__all__ = ["select"]


def select(bank: StartBank, each: int) -> tuple[dict[str, list[int]], dict[str, Tensor]]:
    """Up to ``each`` start states of a kind, the same every time.

    Evenly spread over the bank.

    Returns:
        The index in the bank of each state by kind ("beginning", "anywhere", "hard"; none without states),
        and their ``z``, ``h``, ``c`` and ``progress``, kind after kind.
    """
    kinds = {"beginning": bank.at_start, "anywhere": ~bank.at_start & ~bank.hard, "hard": bank.hard}
    chosen = {}
    for kind, members in kinds.items():
        indices = torch.nonzero(members.cpu()).flatten()
        if len(indices):
            spread = torch.linspace(0, len(indices) - 1, min(each, len(indices))).round().long()
            chosen[kind] = indices[spread].tolist()
    rows = [index for indices in chosen.values() for index in indices]
    return chosen, {name: getattr(bank, name)[rows].float() for name in ("z", "h", "c", "progress")}
