"""Actions as given, checked, and the continuous ones that are executed."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from dreamgym.errors import ActionError
from dreamgym.real.world import World

__all__ = ["ACTION_TOLERANCE", "ActionRange"]

ACTION_TOLERANCE: Final = 1e-6
"""How far outside the space an action may be, to allow for rounding; it is then cut to the space."""


class ActionRange:
    """The range of a world's continuous actions on a device."""

    def __init__(self, world: World, device: torch.device) -> None:
        self._world = world
        self._low = torch.tensor(world.action_low, device=device)
        self._high = torch.tensor(world.action_high, device=device)

    def executed(self, actions: Tensor, num_envs: int, active: Tensor | None) -> Tensor:
        """The actions cut to the range, float32 of shape (B, A).

        Args:
            actions: float of shape (B, A).
            num_envs: B.
            active: rows that count, bool of shape (B,); None for all.

        Raises:
            ActionError: wrong shape or type, or a row that counts is not finite or outside the range by more than
                :data:`ACTION_TOLERANCE`.
        """
        wanted = (num_envs, len(self._low))
        if actions.shape != wanted or not actions.is_floating_point():
            got = f"{actions.dtype} of {tuple(actions.shape)}"
            raise ActionError(f"expected actions as float of shape {wanted}; got {got}")
        actions = actions.to(self._low.device, torch.float32)
        cut = actions.clamp(self._low, self._high)
        good = (actions - cut).abs_() <= ACTION_TOLERANCE  # False for NaN
        if active is not None:
            good |= ~active[:, None]
        if not good.all():
            row = int(torch.nonzero(~good)[0, 0])
            raise ActionError(
                f"expected finite actions within {self._world.action_low} .. {self._world.action_high}; "
                f"got {actions[row].tolist()} in row {row}"
            )
        return cut
