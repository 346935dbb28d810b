"""The state of a batch of dreams: buffers padded to whole vectors, and views of the rows that count."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from dreamgym.dream.noise import row_keys
from dreamgym.dream.row_tiles import Batch, Buffer
from dreamgym.dream.step import MemoryStep
from dreamgym.errors import ConfigError, DivergedError, ResetNeededError
from dreamgym.threads import single_thread

__all__ = ["DreamRows"]

_SAVED: Final = (
    "z",
    "h",
    "c",
    "progress",
    "elapsed",
    "temperature",
    "temperature_low",
    "temperature_high",
    "seed",
    "episode",
    "seeded",
    "started",
)


class DreamRows:
    """Latents, M's state, progress, noise keys and temperatures of ``num_envs`` rows.

    Each attribute is a live view: read it anew after a step, and clone what should last.
    """

    def __init__(self, memory_step: MemoryStep, num_envs: int, device: torch.device) -> None:
        self.memory_step = memory_step
        """M, as a step computes with it."""
        self.num_envs = num_envs
        self.device = device
        size = num_envs + -num_envs % memory_step.padding
        self._batch = Batch(
            (Buffer.empty(memory_step, size), Buffer.empty(memory_step, size)),
            keys=torch.zeros(size, 2, dtype=torch.int32, device=device),
            elapsed=torch.zeros(size, dtype=torch.int64, device=device),
            temperature=torch.ones(size, dtype=torch.float32, device=device),
        )
        self._now = 0  # which buffer is the present one
        self.temperature_low = torch.ones(num_envs, dtype=torch.float32, device=device)
        """The range that a reset draws each row's temperature from, float32 of shape (B,)."""
        self.temperature_high = torch.ones(num_envs, dtype=torch.float32, device=device)
        self.seed = torch.zeros(num_envs, dtype=torch.int64, device=device)
        """Each row's seed, int64 of shape (B,)."""
        self.episode = torch.zeros(num_envs, dtype=torch.int64, device=device)
        """Episodes each row has begun since it was seeded, less one; int64 of shape (B,)."""
        self.seeded = torch.zeros(num_envs, dtype=torch.bool, device=device)
        """Whether a row ever had a seed, bool of shape (B,)."""
        self.started = torch.zeros(num_envs, dtype=torch.bool, device=device)
        """Whether a row was ever reset, bool of shape (B,)."""
        self.diverged = torch.zeros(num_envs, dtype=torch.bool, device=device)
        """Which rows the last step found not to be finite, bool of shape (B,)."""
        self._any_diverged = False
        self._all_started = False

    @property
    def _present(self) -> Buffer:
        return self._batch.buffers[self._now]

    @property
    def features(self) -> Tensor:
        """[z, h], what the controller sees, float32 of shape (B, Z + H)."""
        return self._present.rows[: self.num_envs, : self.memory_step.observation_size]

    @property
    def z(self) -> Tensor:
        """Latents, float32 of shape (B, Z), within +-10."""
        return self._present.z[: self.num_envs]

    @property
    def h(self) -> Tensor:
        """M's hidden state, float32 of shape (B, H), within +-1; zero at the start."""
        return self._present.h[: self.num_envs]

    @property
    def c(self) -> Tensor:
        """M's cell, float32 of shape (B, H)."""
        return self._present.c[: self.num_envs]

    @property
    def progress(self) -> Tensor:
        """Share made of an episode so far, float32 of shape (B,), at most 1.

        Negative where rewards may be.
        """
        return self._present.progress[: self.num_envs]

    @property
    def elapsed(self) -> Tensor:
        """Steps of this episode so far, int64 of shape (B,)."""
        return self._batch.elapsed[: self.num_envs]

    @property
    def temperature(self) -> Tensor:
        """Each row's temperature in this episode, float32 of shape (B,)."""
        return self._batch.temperature[: self.num_envs]

    def get_state(self) -> dict[str, Tensor]:
        """Everything that the future of the rows depends on, as copies."""
        with single_thread():
            return {name: getattr(self, name).clone() for name in _SAVED}

    def set_state(self, state: dict[str, Tensor]) -> None:
        """Go back to what :meth:`get_state` returned: what follows is the same to the bit.

        Raises:
            ConfigError: when a tensor is missing or not of this batch's shape or type; the state is then unchanged.
        """
        if set(state) != set(_SAVED):
            raise ConfigError(f"expected a state with {sorted(_SAVED)}, got {sorted(state)}")
        for name in _SAVED:
            wanted, got = getattr(self, name), state[name]
            if got.shape != wanted.shape or got.dtype != wanted.dtype:
                raise ConfigError(
                    f"expected {name} as {wanted.dtype} of {tuple(wanted.shape)}, "
                    f"got {got.dtype} of {tuple(got.shape)}; "
                    "save and restore with the same num_envs, world model and precision"
                )
        with single_thread():
            for name in _SAVED:
                getattr(self, name).copy_(state[name])
            self._rekey()

    def _rekey(self) -> None:
        self._batch.keys[: self.num_envs] = row_keys(self.seed, self.episode)
        self._all_started = bool(self.started.all())

    def _mask(self, mask: Tensor | None) -> Tensor:
        if mask is None:
            return torch.ones(self.num_envs, dtype=torch.bool, device=self.device)
        if mask.shape != (self.num_envs,) or mask.dtype != torch.bool:
            raise ConfigError(f"expected a mask, bool of shape ({self.num_envs},); got {mask.dtype} of {mask.shape}")
        return mask.to(self.device)

    def _require_started(self, active: Tensor | None) -> None:
        if self._all_started:
            return
        waiting = ~self.started if active is None else ~self.started & active
        if waiting.any():
            rows = torch.nonzero(waiting).flatten().tolist()
            raise ResetNeededError(f"rows {rows[:8]} were never reset; call reset() before step()")

    def _mark_diverged(self, non_finite: Tensor | None) -> None:
        """Set :attr:`diverged`, bool of shape (B,) or None for no row, and raise DivergedError if there are any."""
        if non_finite is not None and bool(non_finite.any()):
            self.diverged, self._any_diverged = non_finite, True
            rows = torch.nonzero(non_finite).flatten().tolist()
            raise DivergedError(f"rows {rows[:8]} are no longer finite ({len(rows)} in all); reset them to go on")
        if self._any_diverged:
            self.diverged, self._any_diverged = torch.zeros_like(self.diverged), False

    def _commit(self, active: Tensor | None) -> None:
        """Make the buffer that a step wrote the present one, but for rows that are not active."""
        if active is not None:
            idle = torch.nonzero(~active).flatten()
            before, after = self._present, self._batch.buffers[1 - self._now]
            for old, new in ((before.rows, after.rows), (before.c, after.c), (before.progress, after.progress)):
                new[idle] = old[idle]
        self._now = 1 - self._now
