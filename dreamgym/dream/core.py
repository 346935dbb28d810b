"""The batched dream: many independent rollouts of M at once, in torch alone."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor

from dreamgym.dream.options import parse_device, parse_steps, require_count, require_flag
from dreamgym.dream.row_tiles import Faults, RowTiles, Tile, joined, joined_faults
from dreamgym.dream.spaces import ActionRange
from dreamgym.dream.start import StartRequest, new_streams, require_rows, start_noise, start_state
from dreamgym.dream.state import DreamRows
from dreamgym.dream.step import MemoryStep, TorchTile
from dreamgym.dream.temperature import Temperature, parse_temperature, temperature_ranges
from dreamgym.errors import ConfigError, InstallationError, ResetNeededError
from dreamgym.memory.mdn_rnn import Prediction
from dreamgym.threads import single_thread
from dreamgym.world_model import WorldModel

if TYPE_CHECKING:
    from dreamgym.dream.single_step import SingleStepper

__all__ = ["DreamCore", "DreamStep", "compiled_tile"]


class DreamStep(NamedTuple):
    """What a step gave each row. Rows that were not active have zeros and False."""

    reward: Tensor
    """float32 of shape (B,)."""
    terminated: Tensor
    """The episode is over: complete, or ended by M's draw. bool of shape (B,)."""
    truncated: Tensor
    """The time limit is reached. bool of shape (B,)."""
    complete: Tensor
    """Whether the episode is complete: its progress reached the reward rule's cap. bool of shape (B,)."""


class DreamCore(DreamRows):
    """A batch of independent dreams, held as torch tensors.

    One step, row by row: M consumes [z_t, a_t] and gives h_{t+1}. z_{t+1} is drawn from its mixture at the row's
    temperature (logits / tau, sigma * sqrt(tau)), moved by the common factors, and clipped to +-10. M's termination
    head is the probability that the row ends in this step. The world's :class:`~dreamgym.worlds.base.RewardRule` turns
    what M's reward head says into the reward. Actions, reward rule and time limit are the world model's.

    A row's rollout is a function of its own seed, episode number, start and actions: to the bit the same whatever the
    batch size, its neighbours and the number of threads, within one precision and device. Each reset of a row without
    a seed begins its next episode, with noise of its own.

    Args:
        world_model: V, M and the start states. M's weights are copied.
        num_envs: B, the number of rows.
        temperature: None for the card's, a number, or (low, high) to draw each episode's from.
        max_episode_steps: steps after which a row is truncated; "world" for the world's limit, None for never.
        precision: "float32"; "bfloat16" for the matrix products (same statistics, other rollouts); "auto" for whichever
            of the two the device multiplies faster; or "float64" for everything, as the page of ``dreamgym web``
            dreams, and what rounding is measured against.
        device: "cpu", "cuda", ...
        fast: step with loops that numba compiles (CPU only): up to twice as fast, and equal to 1e-5 a step instead of
            to the bit. The same seeds still give the same rollouts.

    Raises:
        ConfigError: for an argument out of range.
        InstallationError: fast without numba.
        DivergedError: when one of M's weights is not finite.
    """

    @single_thread()
    @torch.inference_mode(False)  # tensors made in it could neither be stepped nor used outside
    def __init__(
        self,
        world_model: WorldModel,
        num_envs: int,
        *,
        temperature: Temperature = None,
        max_episode_steps: int | Literal["world"] | None = "world",
        precision: str = "float32",
        device: torch.device | str = "cpu",
        fast: bool = False,
    ) -> None:
        require_count("num_envs", num_envs)
        require_flag("fast", fast)
        limit = parse_steps("max_episode_steps", max_episode_steps, world_model.max_episode_steps)
        device = parse_device(device)
        self.rewards = world_model.rewards
        """What a step pays."""
        memory_step = MemoryStep(world_model.memory, precision, device, reward_head=self.rewards.head != "none")
        self._tile: type[Tile] = compiled_tile(device, precision) if fast else TorchTile
        super().__init__(memory_step, num_envs, device)
        self.world_model = world_model
        self.max_episode_steps = limit
        self._bank = world_model.starts.to(device)
        self._actions = ActionRange(world_model.actions, num_envs, device)
        head = world_model.memory.event_head
        self._event = None if head is None else (head.weight.detach()[0].to(device), head.bias.detach().to(device))
        self.clamped = 0
        """Latents clipped to +-10 since construction, over all rows.

        A few in a million are the mixture's tails; many mean that the dream has left what V and M know.
        """
        self._head_outputs: list[Tensor] = []  # of the last step, tile by tile
        self._tiles: RowTiles | None = None
        self.set_temperature(temperature)

    @property
    def last_prediction(self) -> Prediction:
        """What M predicted of the last step, copies, leading dimension B."""
        if not self._head_outputs:
            raise ResetNeededError("there is no prediction before the first step; call reset() and step() first")
        with single_thread():
            return self.memory_step.prediction(torch.cat(self._head_outputs)[: self.num_envs])

    def event(self) -> Tensor:
        """Probability that the world's labelled event happened in the last step, float32 of shape (B,).

        For CarRacing, a tile left untouched; see :meth:`dreamgym.memory.mdn_rnn.MDNRNN.event_logit`. Zeros where M has
        no such head.
        """
        if self._event is None:
            return torch.zeros(self.num_envs, dtype=torch.float32, device=self.device)
        weight, bias = self._event
        # Neither a product with a vector nor torch.sigmoid: on some processors what these give a row hangs on how many
        # rows there are.
        with single_thread():
            logit = (self.h * weight).sum(dim=1) + bias
            return logit.neg_().exp_().add_(1.0).reciprocal_()

    @property
    def known_temperature(self) -> Tensor:
        """As :attr:`temperature`, a copy; NaN where a row's first episode has yet to draw it."""
        undrawn = ~self.started & (self.temperature_low != self.temperature_high)
        return self.temperature.masked_fill(undrawn, float("nan"))

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

    @single_thread()
    @torch.no_grad()
    def reset(
        self,
        mask: Tensor | None = None,
        *,
        seeds: Tensor | None = None,
        start: str | int = "beginning",
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
            start: "beginning", "anywhere", "hard" (drawn from the bank by the row's own noise) or an index into it.
            temperature: for this episode only; None for what :meth:`set_temperature` says.
            observation: a real frame to start at instead, uint8 of shape (64, 64, 3) as ``preprocess`` makes it, or
                (B, 64, 64, 3); h, c and progress are then zero unless given.
            state: (h, c), each (H,) or (B, H), instead of the start's.
            progress: share already made of what completes an episode, in [0, 1], instead of the start's.

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
        choice, uniform, normal = start_noise(seed, episode, self.memory_step.latent_size)
        request = StartRequest(start, observation, state, progress)
        require_rows(request, self.num_envs)
        begun = start_state(request, self._bank, self.world_model, rows, choice, normal)
        self.seed[rows], self.episode[rows], self.seeded[rows], self.started[rows] = seed, episode, True, True
        self.z[rows], self.h[rows], self.c[rows], self.progress[rows] = (part.to(self.z.dtype) for part in begun)
        self.elapsed[rows] = 0
        self.temperature[rows] = torch.minimum(low + (high - low) * uniform, high)
        self._rekey()

    def step(self, actions: Tensor, active: Tensor | None = None) -> DreamStep:
        """Advance every row by one frame.

        Rows past their end go on dreaming (a complete episode pays nothing more); resetting them is the caller's part.

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
            tiles = self._divided(threads)
            results = tiles.step(self._now, executed)
            faults = joined_faults(results, self.num_envs)
            if faults is not None and active is not None:
                faults = Faults(faults.clipped * active, faults.non_finite & active)
            self._mark_diverged(None if faults is None else faults.non_finite)
            self.clamped += 0 if faults is None else int(faults.clipped.sum())
            reward = joined([each.reward for each in results], self.num_envs)
            terminated = joined([each.terminated for each in results], self.num_envs)
            complete = joined([each.complete for each in results], self.num_envs)
            elapsed, limit = self.elapsed, self.max_episode_steps
            elapsed.add_(1 if active is None else active)
            truncated = torch.zeros_like(terminated) if limit is None else elapsed >= limit
            result = DreamStep(reward, terminated, truncated, complete)
            if active is None:
                tiles.advance()
            else:
                result = DreamStep(*(each.masked_fill(~active, 0) for each in result))  # not a product: NaN * 0 is NaN
                tiles.forget()
            self._head_outputs = [result.head_outputs for result in results]
            self._commit(active)
            return result

    def single_stepper(self) -> SingleStepper:
        """A stepper of a core of one row, at several times the rate.

        Raises:
            ConfigError: more than one row, another device than the CPU, or float64.
            InstallationError: without numba.
        """
        compiled_tile(self.device, self.memory_step.precision)
        from dreamgym.dream.single_step import SingleStepper

        return SingleStepper(self)

    def _divided(self, threads: int) -> RowTiles:
        """The rows as so many threads take them."""
        if self._tiles is None or self._tiles.threads != threads:
            self._tiles = RowTiles(self._batch, self.memory_step, self.rewards, self.num_envs, threads, self._tile)
        return self._tiles

    def __getstate__(self) -> dict[str, Any]:
        """Without the tiles, which are views: copies of them would be views of nothing."""
        return {**vars(self), "_tiles": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if torch.is_inference_mode_enabled():  # tensors that were unpickled in it could not be stepped
            with torch.inference_mode(False), single_thread():
                state = deepcopy(state)
        vars(self).update(state)

    def __deepcopy__(self, memo: dict[int, Any]) -> DreamCore:
        copy = object.__new__(type(self))
        memo[id(self)] = copy
        with torch.inference_mode(False), single_thread():
            copy.__setstate__(deepcopy(self.__getstate__(), memo))
        return copy

    def _rekey(self) -> None:
        super()._rekey()
        if self._tiles is not None:
            self._tiles.forget()


def compiled_tile(device: torch.device, precision: str = "float32") -> type[Tile]:
    """The class that steps rows with ``fast=True``; imported here, since nothing else needs numba.

    Raises:
        ConfigError: for another device than the CPU, or float64.
        InstallationError: without numba.
    """
    if precision == "float64":
        raise ConfigError('fast=True computes in float32 or bfloat16; precision="float64" needs fast=False')
    if device.type != "cpu":
        raise ConfigError(f'fast=True is for device="cpu"; got {str(device)!r}')
    try:
        from dreamgym.dream.compiled_step import CompiledTile
    except ImportError as error:
        raise InstallationError('fast=True steps with numba; pip install "dreamgym[fast]"') from error
    return CompiledTile
