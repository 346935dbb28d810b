"""The state of a batch of dreams: buffers padded to whole vectors, and views of the rows that count."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from dreamgym.dream.kernel import StepKernel
from dreamgym.dream.noise import row_keys
from dreamgym.dream.tiles import Side
from dreamgym.errors import ConfigError, DivergedError, ResetNeededError

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

    def __init__(self, kernel: StepKernel, num_envs: int, device: torch.device) -> None:
        self.kernel = kernel
        self.num_envs = num_envs
        self.device = device
        self._size = size = num_envs + -num_envs % kernel.padding
        self._sides = self._new_side(), self._new_side()
        self._now = 0  # which side is the present one
        self._elapsed = torch.zeros(size, dtype=torch.int64, device=device)
        self._temperature = torch.ones(size, device=device)
        self._keys = torch.zeros(size, 2, dtype=torch.int32, device=device)
        self.temperature_low = torch.ones(num_envs, device=device)
        """The range that a reset draws each row's temperature from, float32 of shape (B,)."""
        self.temperature_high = torch.ones(num_envs, device=device)
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
        self.streams = 0
        """How often noise was keyed anew: resets and restored states."""

    def _new_side(self) -> Side:
        size, kernel, device = self._size, self.kernel, self.device
        rows = torch.zeros(size, kernel.row_size, device=device)
        rows[:, kernel.observation_size] = 1.0
        c = torch.zeros(size, kernel.hidden_size, device=device)
        return Side(rows, c, torch.zeros(size, device=device))

    @property
    def _rows(self) -> Tensor:
        """[z | h | 1 | a] at present, padded."""
        return self._sides[self._now].rows

    @property
    def features(self) -> Tensor:
        """[z, h], what the controller sees, float32 of shape (B, Z + H)."""
        return self._rows[: self.num_envs, : self.kernel.observation_size]

    @property
    def z(self) -> Tensor:
        """Latents, float32 of shape (B, Z), within +-10."""
        return self._rows[: self.num_envs, : self.kernel.latent_size]

    @property
    def h(self) -> Tensor:
        """M's hidden state, float32 of shape (B, H), within +-1; zero at the line."""
        return self._rows[: self.num_envs, self.kernel.latent_size : self.kernel.observation_size]

    @property
    def c(self) -> Tensor:
        """M's cell, float32 of shape (B, H)."""
        return self._sides[self._now].c[: self.num_envs]

    @property
    def progress(self) -> Tensor:
        """Share of the lap made so far, float32 of shape (B,), in [0, 1]."""
        return self._sides[self._now].progress[: self.num_envs]

    @property
    def elapsed(self) -> Tensor:
        """Steps of this episode so far, int64 of shape (B,)."""
        return self._elapsed[: self.num_envs]

    @property
    def temperature(self) -> Tensor:
        """Each row's temperature in this episode, float32 of shape (B,)."""
        return self._temperature[: self.num_envs]

    def get_state(self) -> dict[str, Tensor]:
        """Everything that the future of the rows depends on, as copies."""
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
                    f"got {got.dtype} of {tuple(got.shape)}; save and restore with the same num_envs and world model"
                )
        for name in _SAVED:
            getattr(self, name).copy_(state[name])
        self._rekey()

    def _rekey(self) -> None:
        self._keys[: self.num_envs] = row_keys(self.seed, self.episode)
        self._all_started = bool(self.started.all())
        self.streams += 1

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

    def mark_diverged(self, broken: Tensor | None) -> None:
        """Set :attr:`diverged`, and raise DivergedError if there are such rows.

        Args:
            broken: bool of shape (B,), at least one True; None for none.
        """
        if broken is not None:
            self.diverged, self._any_diverged = broken, True
            rows = torch.nonzero(broken).flatten().tolist()
            raise DivergedError(f"rows {rows[:8]} are no longer finite ({len(rows)} in all); reset them to go on")
        if self._any_diverged:
            self.diverged, self._any_diverged = torch.zeros_like(self.diverged), False

    def _commit(self, active: Tensor | None) -> None:
        """Make the side that a step wrote the present one, but for rows that are not active."""
        if active is not None:
            idle = torch.nonzero(~active).flatten()
            for before, after in zip(self._sides[self._now], self._sides[1 - self._now], strict=True):
                after[idle] = before[idle]
        self._now = 1 - self._now
