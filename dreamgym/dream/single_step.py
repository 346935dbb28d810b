"""A single dream stepped by compiled loops in its core's place: ``gym.make(..., fast=True)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamgym.dream.compiled_step import UNROLLED, BufferArrays, readable, single_step
from dreamgym.dream.reward import RowRule
from dreamgym.errors import ConfigError
from dreamgym.threads import single_thread

if TYPE_CHECKING:
    from dreamgym.dream.core import DreamCore

__all__ = ["SingleStep", "SingleStepper"]


class SingleStep(NamedTuple):
    """What a step gave one row; as :class:`~dreamgym.dream.core.DreamStep`, in plain numbers."""

    reward: float
    terminated: bool
    complete: bool


class SingleStepper:
    """Steps a core of one row in its place.

    Everything else (resets, temperatures, saved states) stays the core's.

    Args:
        core: of one row, on the CPU. Its time limit counts for nothing here.

    Raises:
        ConfigError: more than one row.
    """

    @single_thread()
    @torch.inference_mode(False)
    def __init__(self, core: DreamCore) -> None:
        if core.num_envs != 1:
            raise ConfigError(f"a single stepper needs a core of one row; got {core.num_envs}")
        self.core = core
        m = core.memory_step
        batch = core._batch.part(slice(0, 1))
        self._outputs = torch.zeros(1, len(m.head_weight), dtype=torch.float32)
        self._elapsed = batch.elapsed.numpy()
        self.temperature: NDArray[np.float32] = batch.temperature.numpy()
        """As the core's, a view of shape (1,)."""
        self._buffers = [BufferArrays.of(buffer) for buffer in batch.buffers]
        self._actions = [buffer.action[0].numpy() for buffer in batch.buffers]
        self._features = [buffer.rows[0, : m.observation_size] for buffer in self._buffers]
        sizes = m.mixtures, m.factors, m.latent_size
        given = batch.keys.numpy(), self._elapsed, self.temperature, RowRule.of(core.rewards), sizes
        packed = _packed(m.gate_weight), _packed(m.head_weight), m.dtype is torch.bfloat16
        first, second = self._buffers
        outputs = self._outputs.numpy()
        self._arguments = [
            (*packed, *given, *before, *after, outputs) for before, after in ((first, second), (second, first))
        ]

    def __reduce__(self) -> tuple[type[SingleStepper], tuple[DreamCore]]:
        return SingleStepper, (self.core,)  # its arrays are views of the core's tensors

    @property
    def progress(self) -> NDArray[np.float32]:
        """As the core's, a view of shape (1,)."""
        return cast(NDArray[np.float32], self._buffers[self.core._now].progress)

    def observe(self, obs_type: str) -> NDArray[np.float32]:
        """What the controller observes, a copy.

        [z | h] for "features", (Z + H,), or z, (Z,).
        """
        features = cast(NDArray[np.float32], self._features[self.core._now])
        size = len(features) if obs_type == "features" else self.core.memory_step.latent_size
        return features[:size].copy()

    def step(self, action: NDArray[np.float32]) -> SingleStep:
        """Advance by one frame.

        Args:
            action: the executed one, float32 (A,), in the world's range.

        Raises:
            ResetNeededError: before the first reset.
            DivergedError: a number is no longer finite; nothing has advanced.
        """
        core = self.core
        core._require_started(None)
        self._actions[core._now][:] = action
        reward, terminated, complete, clipped, non_finite = single_step(*self._arguments[core._now])
        core._mark_diverged(torch.tensor([True]) if non_finite else None)
        core.clamped += clipped
        self._elapsed[0] += 1
        core._head_outputs = [self._outputs]
        core._now = 1 - core._now
        return SingleStep(reward, terminated, complete)


def _packed(weight: Tensor) -> NDArray[Any]:
    """A weight, (outputs, inputs), for :func:`row_product`: as int16 where its numbers are bfloat16's."""
    transposed = torch.nn.functional.pad(weight.T.float(), (0, 0, 0, -weight.shape[1] % UNROLLED))
    low = transposed.bfloat16()
    exact = torch.equal(low.float(), transposed)
    return readable((low if exact else transposed).contiguous())
