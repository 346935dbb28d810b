"""The batched dream: many independent rollouts of M at once, in torch alone."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dreamgym.dream.actions import ActionRange
from dreamgym.dream.kernel import StepKernel, sigmoid
from dreamgym.dream.options import Temperature, parse_temperature, temperature_ranges
from dreamgym.dream.start import StartRequest, new_streams, start_noise, start_state
from dreamgym.dream.state import DreamRows
from dreamgym.dream.threads import for_each_tile, single_thread
from dreamgym.errors import ConfigError, DivergedError, ResetNeededError
from dreamgym.memory.mdn_rnn import Prediction
from dreamgym.real.world import CAR_RACING, World
from dreamgym.world_model import LATENT_LIMIT, WorldModel

__all__ = ["DreamCore", "DreamStep"]

_TILE = 512  # rows at most: fewer, and torch's fixed cost of a call weighs more; more, and caches overflow
_LEAST_TILE = 64  # below this, handing rows to another core costs more than it saves


class DreamStep(NamedTuple):
    """What a step gave each row. Rows that were not active have zeros and False."""

    reward: Tensor
    """float32 of shape (B,)."""
    terminated: Tensor
    """The episode is over: lap finished, or the end that M drew. bool of shape (B,)."""
    truncated: Tensor
    """``max_episode_steps`` are over. bool of shape (B,)."""
    lap_finished: Tensor
    """Whether the end was a finished lap. bool of shape (B,)."""


class DreamCore(DreamRows):
    """A batch of independent dreams, held as torch tensors.

    One step, row by row: M consumes [z_t, a_t] and gives h_{t+1}; z_{t+1} is drawn from its mixture at the row's
    temperature (logits / tau, sigma * sqrt(tau)) and cut to +-10; the reward is the frame's cost plus the lap's
    reward times the share of it that M says was made, cut so that a lap is paid once; M's termination head is the
    probability that the row ends in this step, which pays ``world.leaving_reward`` instead of all else.

    A row's rollout is a function of its own seed, episode number, start and actions: to the bit the same whatever the
    batch size, its neighbours and the number of threads, within one precision and device. Each reset of a row without
    a seed begins its next episode, with noise of its own.

    Args:
        world_model: V, M and the start states. M's weights are copied.
        num_envs: B, the number of rows.
        temperature: None for the card's, a number, or (low, high) to draw each episode's from.
        max_episode_steps: steps after which a row is truncated; None for never.
        precision: "float32", or "bfloat16" for the matrix products (same statistics, other rollouts).
        device: "cpu", "cuda", ...
        world: the constants of the dreamt world.

    Raises:
        ConfigError: for an argument out of range.
        DivergedError: when one of M's weights is not finite.
    """

    def __init__(
        self,
        world_model: WorldModel,
        num_envs: int,
        *,
        temperature: Temperature = None,
        max_episode_steps: int | None = 1000,
        precision: str = "float32",
        device: torch.device | str = "cpu",
        world: World = CAR_RACING,
    ) -> None:
        if num_envs < 1:
            raise ConfigError(f"num_envs must be at least 1, got {num_envs}")
        if max_episode_steps is not None and max_episode_steps < 1:
            raise ConfigError(f"max_episode_steps must be at least 1, or None for never; got {max_episode_steps}")
        device = torch.device(device)
        super().__init__(StepKernel(world_model.memory, precision, device), num_envs, device)
        self.world_model = world_model
        self.world = world
        self.max_episode_steps = max_episode_steps
        self._bank = world_model.starts.to(device)
        self._actions = ActionRange(world, device)
        self._heads = self.kernel.heads(self._size)
        self._end_noise = torch.zeros(self._size, device=device)
        self._cut = torch.zeros(self._size, dtype=torch.int64, device=device)
        self._clamped = torch.zeros((), dtype=torch.int64, device=device)
        self._stepped = False
        self.diverged = torch.zeros(num_envs, dtype=torch.bool, device=device)
        """Which rows the last step found not to be finite, bool of shape (B,)."""
        self.set_temperature(temperature)

    @property
    def clamped(self) -> int:
        """Latents cut to +-10 since construction, over all rows.

        A few in a million are the mixture's tails; many mean that the dream has left what V and M know.
        """
        return int(self._clamped)

    @property
    def last_prediction(self) -> Prediction:
        """What M said of the last step, leading dimension B; the mixture is a view, valid until the next step."""
        if not self._stepped:
            raise ResetNeededError("there is no prediction before the first step; call reset() and step() first")
        return self.kernel.prediction(self._heads.rows(slice(self.num_envs)))

    def set_temperature(self, temperature: Temperature | Tensor, mask: Tensor | None = None) -> None:
        """Change the temperature of this and later episodes.

        Args:
            temperature: None for the card's; a number, which holds from the next step on; (low, high), drawn from at
                each later reset; or a tensor of shape (B,), a number for each row, which holds from the next step on.
            mask: the rows to change, bool of shape (B,); None for all.

        Raises:
            TemperatureError: unless positive and finite; nothing is then changed.
        """
        chosen = self._mask(mask)
        low, high = temperature_ranges(temperature, self.world_model.temperature, self.num_envs, self.device)
        self.temperature_low[chosen] = low[chosen]
        self.temperature_high[chosen] = high[chosen]
        fixed = chosen & (low == high)
        self.temperature[fixed] = low[fixed]

    @torch.no_grad()
    def reset(
        self,
        mask: Tensor | None = None,
        *,
        seeds: Tensor | None = None,
        start: str | int = "line",
        temperature: Temperature = None,
        observation: Tensor | None = None,
        state: tuple[Tensor, Tensor] | None = None,
        progress: float | None = None,
    ) -> None:
        """Begin an episode in some rows.

        Args:
            mask: which rows, bool of shape (B,); None for all.
            seeds: int64 of shape (B,); rows of the mask take theirs and count episodes from 0. None: a row goes on to
                its next episode, and one that never had a seed draws it from the operating system.
            start: "line", "anywhere" (both drawn from the bank by the row's own noise) or an index into the bank.
            temperature: for this episode only; None for what :meth:`set_temperature` says.
            observation: a real frame to start at instead, uint8 of shape (64, 64, 3) as ``preprocess`` makes it, or
                (B, 64, 64, 3); h, c and progress are then zero unless given.
            state: (h, c), each (H,) or (B, H), instead of the start's.
            progress: share of the lap already made, in [0, 1], instead of the start's.

        Raises:
            ConfigError, TemperatureError, ObservationError: for a bad argument; the state is then unchanged.
        """
        rows = torch.nonzero(self._mask(mask)).flatten()
        low, high = self.temperature_low[rows], self.temperature_high[rows]
        if temperature is not None:
            low, high = map(low.new_tensor, parse_temperature(temperature, 1.0))
        if seeds is not None and (seeds.shape != (self.num_envs,) or seeds.dtype != torch.int64):
            raise ConfigError(
                f"expected seeds as int64 of shape ({self.num_envs},); got {seeds.dtype} of {seeds.shape}"
            )
        if not len(rows):
            return
        seeds = None if seeds is None else seeds.to(self.device)[rows]
        seed, episode = new_streams(self.seed[rows], self.episode[rows], self.seeded[rows], seeds)
        choice, warmth, normal = start_noise(seed, episode, self.kernel.latent_size)
        with single_thread():
            request = StartRequest(start, observation, state, progress)
            begun = start_state(request, self._bank, self.world_model, rows, choice, normal)
        self.seed[rows], self.episode[rows], self.seeded[rows], self.started[rows] = seed, episode, True, True
        self.z[rows], self.h[rows], self.c[rows], self.progress[rows] = begun
        self.elapsed[rows] = 0
        self.temperature[rows] = torch.minimum(low + (high - low) * warmth, high)
        self._rekey()

    @torch.no_grad()
    def step(self, actions: Tensor, active: Tensor | None = None) -> DreamStep:
        """Advance every row by one frame.

        Rows past their end go on dreaming (a finished lap pays nothing more); resetting them is the caller's part.

        Args:
            actions: the executed ones, float of shape (B, A), in the world's range.
            active: rows to advance, bool of shape (B,); the others stay as they are. None for all.

        Raises:
            ActionError: for a bad action, with the state unchanged.
            ResetNeededError: when an active row was never reset.
            DivergedError: when an active row is no longer finite, naming it; :attr:`diverged` has the mask, and no row
                was advanced. Reset those rows, or leave them out of ``active``, and step again with the same actions:
                the others go on exactly as if nothing had happened.
        """
        active = None if active is None else self._mask(active)
        self._require_started(active)
        executed = self._actions.executed(actions, self.num_envs, active)
        self._rows[: self.num_envs, self.kernel.observation_size + 1 :] = executed
        with single_thread() as threads:
            for_each_tile(self._advance, self._tiles(threads), threads)
            return self._conclude(active)

    def _tiles(self, threads: int) -> list[slice]:
        if self.device.type != "cpu":
            return [slice(0, self._size)]
        pieces = threads * -(-self._size // (threads * _TILE))  # as many for each thread
        length = -(-self._size // (pieces * self.kernel.padding)) * self.kernel.padding
        length = max(_LEAST_TILE, length)
        return [slice(first, min(first + length, self._size)) for first in range(0, self._size, length)]

    @torch.inference_mode()  # a worker's thread has a mode of its own; no result of a call in here is handed out
    def _advance(self, tile: slice) -> None:
        """One step of a tile of rows into the spare buffers."""
        kernel, following = self.kernel, self._next_rows[tile]
        heads = self._heads.rows(tile)
        kernel.advance(self._rows[tile], self._c[tile], following, self._next_c[tile])
        kernel.predict(following, heads)
        uniform, normal, self._end_noise[tile] = kernel.noise(self._keys[tile], self._elapsed[tile])
        drawn = kernel.sample(heads.mixture, self._temperature[tile, None], uniform, normal)
        z = following[:, : kernel.latent_size]
        torch.clamp(drawn, -LATENT_LIMIT, LATENT_LIMIT, out=z)
        torch.sum(z != drawn, dim=1, out=self._cut[tile])

    def _conclude(self, active: Tensor | None) -> DreamStep:
        """Rewards and ends; then the step counts."""
        world, count = self.world, self.num_envs
        _, units, logit = self.kernel.prediction(self._heads)
        progress = (self._progress + units / self.world_model.lap_units).clamp_max_(1.0)
        reward = (progress - self._progress).mul_(world.lap_reward).add_(world.frame_cost)
        broken = ~torch.isfinite(self._next_rows[:, : self.kernel.latent_size].sum(dim=1) + reward + logit)[:count]
        if active is not None:
            broken &= active
        self.diverged = broken
        if broken.any():
            rows = torch.nonzero(broken).flatten().tolist()
            raise DivergedError(f"rows {rows[:8]} are no longer finite ({len(rows)} in all); reset them to go on")
        left = (self._end_noise < sigmoid(logit))[:count]
        progress, reward = progress[:count], reward[:count].masked_fill(left, world.leaving_reward)
        finished = (progress >= 1.0) & ~left
        elapsed = self.elapsed + 1
        over = torch.zeros_like(left) if self.max_episode_steps is None else elapsed >= self.max_episode_steps
        result = DreamStep(reward, left | finished, over, finished)
        if active is not None:
            progress, elapsed = torch.where(active, progress, self.progress), torch.where(active, elapsed, self.elapsed)
            result = DreamStep(*(value.masked_fill(~active, 0) for value in result))  # not a product: NaN * 0 is NaN
        self._clamped += self._cut[:count].sum() if active is None else self._cut[:count][active].sum()
        self.progress.copy_(progress)
        self.elapsed.copy_(elapsed)
        self._commit(active)
        self._stepped = True
        return result
