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
    """The range of a world's continuous actions, for a batch on a device.

    Args:
        world: has the range.
        num_envs: B.
        device: where the actions are needed.
    """

    def __init__(self, world: World, num_envs: int, device: torch.device) -> None:
        self._world = world
        # A row each: to broadcast three numbers takes several times as long as to read them.
        self._low = torch.tensor([world.action_low], device=device).repeat(num_envs, 1)
        self._high = torch.tensor([world.action_high], device=device).repeat(num_envs, 1)

    def executed(self, actions: Tensor, active: Tensor | None) -> Tensor:
        """The actions cut to the range, float32 of shape (B, A).

        Args:
            actions: float of shape (B, A).
            active: rows that count, bool of shape (B,); None for all.

        Raises:
            ActionError: wrong shape or type, or a row that counts is not finite or outside the range by more than
                :data:`ACTION_TOLERANCE`.
        """
        wanted = tuple(self._low.shape)
        if actions.shape != wanted or not actions.is_floating_point():
            got = f"{actions.dtype} of {tuple(actions.shape)}"
            raise ActionError(f"expected actions as float of shape {wanted}; got {got}")
        actions = actions.to(self._low.device, torch.float32)
        cut = actions.clamp(self._low, self._high)
        if self._low.device.type == "cpu" and torch.equal(cut, actions):  # the rule, and quick to see
            return cut
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
