"""The batched dream: many independent rollouts of M at once, in torch alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from dreamgym.dream.actions import ActionRange
from dreamgym.dream.division import Division
from dreamgym.dream.kernel import StepKernel
from dreamgym.dream.options import Temperature, parse_temperature, temperature_ranges
from dreamgym.dream.start import StartRequest, new_streams, require_rows, start_noise, start_state
from dreamgym.dream.state import DreamRows
from dreamgym.dream.threads import single_thread
from dreamgym.dream.tiles import Batch, Tile
from dreamgym.errors import ConfigError, InstallationError, ResetNeededError
from dreamgym.memory.mdn_rnn import Prediction
from dreamgym.real.world import CAR_RACING, World
from dreamgym.world_model import WorldModel

__all__ = ["DreamCore", "DreamStep", "compiled_tile"]


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
    temperature (logits / tau, sigma * sqrt(tau)), moved by the common factors, and cut to +-10; the reward is the
    frame's cost plus the lap's reward times the share of it that M says was made, cut so that a lap is paid once; M's
    termination head is the probability that the row ends in this step, which pays ``world.leaving_reward`` instead of
    all else.

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
        fast: step with loops that numba compiles (CPU only): up to twice as fast, and equal to 1e-5 a step instead of
            to the bit. The same seeds still give the same rollouts.

    Raises:
        ConfigError: for an argument out of range.
        InstallationError: fast without numba.
        DivergedError: when one of M's weights is not finite.
    """

    @torch.inference_mode(False)  # tensors made in it could neither be stepped nor used outside
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
        fast: bool = False,
    ) -> None:
        if num_envs < 1:
            raise ConfigError(f"num_envs must be at least 1, got {num_envs}")
        if max_episode_steps is not None and max_episode_steps < 1:
            raise ConfigError(f"max_episode_steps must be at least 1, or None for never; got {max_episode_steps}")
        device = torch.device(device)
        self._tile = compiled_tile(device) if fast else Tile
        super().__init__(StepKernel(world_model.memory, precision, device), num_envs, device)
        self.world_model = world_model
        self.world = world
        self.max_episode_steps = max_episode_steps
        self._bank = world_model.starts.to(device)
        self._actions = ActionRange(world, num_envs, device)
        self._outcome = (
            torch.zeros(self._size, device=device),  # reward
            torch.zeros(self._size, dtype=torch.bool, device=device),  # ended
            torch.zeros(self._size, dtype=torch.bool, device=device),  # lap finished
        )
        head = world_model.memory.missed_head
        self._missed_weight, self._missed_bias = head.weight.detach()[0].to(device), head.bias.detach().to(device)
        self.clamped = 0
        """Latents cut to +-10 since construction, over all rows.

        A few in a million are the mixture's tails; many mean that the dream has left what V and M know.
        """
        self.products: list[Tensor] = []
        """What the heads said in the last step, tile by tile; :attr:`last_prediction` says it by name."""
        self._division: Division | None = None
        self.set_temperature(temperature)

    @property
    def last_prediction(self) -> Prediction:
        """What M said of the last step, copies, leading dimension B."""
        if not self.products:
            raise ResetNeededError("there is no prediction before the first step; call reset() and step() first")
        prediction = self.kernel.prediction(self.products)
        return Prediction(*(part[: self.num_envs] for part in prediction))

    def missed(self) -> Tensor:
        """Probability that the last step left units of progress behind for good, float32 of shape (B,).

        In the dream, laps end all the same; see :meth:`dreamgym.memory.mdn_rnn.MDNRNN.missed_logit`.
        """
        # Neither a product with a vector nor torch.sigmoid: on some processors what these give a row hangs on how many
        # rows there are.
        logit = (self.h * self._missed_weight).sum(dim=1) + self._missed_bias
        return logit.neg_().exp_().add_(1.0).reciprocal_()

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
            start: "line", "anywhere", "hard" (drawn from the bank by the row's own noise) or an index into the bank.
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
            require_rows(request, self.num_envs)
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
        return self.step_executed(self._actions.executed(actions, active), active)

    @torch.no_grad()
    def step_executed(self, executed: Tensor, active: Tensor | None = None) -> DreamStep:
        """As :meth:`step`, for actions that were checked already.

        Args:
            executed: float32 of shape (B, A), in the world's range where they count.
            active: as in :meth:`step`.
        """
        active = None if active is None else self._mask(active)
        self._require_started(active)
        with single_thread() as threads:
            division = self._divided(threads)
            division.step(self._now, executed)
            return self._conclude(division, active)

    def _divided(self, threads: int) -> Division:
        """The rows as so many threads take them."""
        if self._division is None or self._division.threads != threads:
            lap_units = self.world_model.lap_units
            state = self._sides, self._keys, self._elapsed, self._temperature
            batch = Batch(self.kernel, self.world, lap_units, *state, *self._outcome)
            self._division = Division(batch, self.num_envs, threads, self._tile)
        return self._division

    def __getstate__(self) -> dict[str, Any]:
        """Without the division into tiles, which are views: copies of them would be views of nothing."""
        return {**vars(self), "_division": None}

    def _rekey(self) -> None:
        super()._rekey()
        if self._division is not None:
            self._division.forget()

    def _conclude(self, division: Division, active: Tensor | None) -> DreamStep:
        """What all rows need each other for: errors and counts."""
        self.mark_diverged(division.broken(active))
        reward, ended, finished = division.outcome()
        elapsed, limit = self.elapsed, self.max_episode_steps
        elapsed.add_(1 if active is None else active)
        over = torch.zeros_like(ended) if limit is None else elapsed >= limit
        result = DreamStep(reward, ended, over, finished)
        self.clamped += division.cut(active)
        if active is None:
            division.pass_on()
        else:
            result = DreamStep(*(value.masked_fill(~active, 0) for value in result))  # not a product: NaN * 0 is NaN
            division.forget()
        self.products = division.products()
        self._commit(active)
        return result


def compiled_tile(device: torch.device) -> type[Tile]:
    """How the fast mode steps rows; imported here, since nothing else needs numba.

    Raises:
        ConfigError: for another device than the CPU.
        InstallationError: without numba.
    """
    if device.type != "cpu":
        raise ConfigError(f'fast=True is for device="cpu"; got {str(device)!r}')
    try:
        from dreamgym.dream.compiled import CompiledTile
    except ImportError as error:
        raise InstallationError('fast=True steps a batch with numba; pip install "dreamgym[fast]"') from error
    return CompiledTile
