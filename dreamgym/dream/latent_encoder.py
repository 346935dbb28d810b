"""From real frames to what an agent sees: preprocessing, V's posterior and M's hidden state, batch by batch.

The wrappers, evaluation and collection all see reality through :class:`LatentEncoder`, so z and h mean the same
everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamgym.dream.options import known_preprocess, require_count
from dreamgym.dream.row_tiles import Buffer
from dreamgym.dream.step import PRECISIONS, MemoryStep
from dreamgym.errors import ConfigError, DivergedError, ObservationError, ResetNeededError
from dreamgym.memory.mdn_rnn import LATENT_LIMIT, Prediction
from dreamgym.threads import for_each_tile, single_thread
from dreamgym.training import choose_precision
from dreamgym.vision.fast_inference import PackedConvolutions, require_finite
from dreamgym.vision.packed_linear import Packed
from dreamgym.world_model import WorldModel
from dreamgym.worlds.base import FRAME_SHAPE, Preprocess

__all__ = ["LATENT_MODES", "LatentEncoder", "LatentState"]

LATENT_MODES: Final = ("sample", "mean")
"""z as a draw from V's posterior (as M was trained, and as the dream hands out), or as the posterior's mean."""

_FRAMES: Final = 16  # encoded at once, at most: with more their patches leave the cache
_NOISE_STREAM: Final = 0x7A  # keeps the noise of seed s apart from the track of seed s


class LatentState(NamedTuple):
    """What the agents of a batch of environments see, and M's cell. Copies, float32."""

    z: NDArray[np.float32]
    """(num_envs, latent_size), in [-10, 10]."""
    h: NDArray[np.float32]
    """(num_envs, hidden_size), in [-1, 1]."""
    c: NDArray[np.float32]
    """(num_envs, hidden_size)."""


class LatentEncoder:
    """V and M run along with a batch of real environments.

    Order of one step (paper): the agent sees (z_t, h_t); M consumes z_t and the action really executed, which gives
    h_{t+1}; V encodes the new frame to z_{t+1}. h is zero where an episode begins. M's step is the dream's own
    (:class:`~dreamgym.dream.step.MemoryStep`), so the same z and actions give the same h in both, to the bit.

    A row draws its noise from a generator of its own, and matrix products are padded, so a row's numbers do not depend
    on its neighbours or their number: the same seed gives the same z and h in a batch of one and of a hundred, to the
    bit. Frames are encoded a few at a time, on as many threads as torch has, whose settings stay as they were.

    Args:
        world_model: V, M and the card's ``latent_noise``.
        num_envs: rows.
        latent: ``"sample"`` for z = mean + latent_noise * sigma * eps, ``"mean"`` for eps = 0.
        precision: "float32", "bfloat16" for the products of V's convolutions (all after them stays float32), or "auto"
            for whichever of the two the processor multiplies faster.
        preprocess: of the world's raw frames; None for that of the registered world that the bundle names, if there is
            one. Without it, frames must be preprocessed.
        preprocessed: whether all frames are, whatever the shape of raw ones.

    Raises:
        BundleVersionError: ``preprocess`` makes other frames than those that V was trained on.
        ConfigError: for another ``latent`` or ``precision``, or fewer than one row.
        DivergedError: when one of V's or M's weights is not finite.
    """

    @single_thread()
    @torch.inference_mode(False)  # tensors made in it could not be used outside
    def __init__(
        self,
        world_model: WorldModel,
        num_envs: int = 1,
        *,
        latent: str = "sample",
        precision: str = "float32",
        preprocess: Preprocess | None = None,
        preprocessed: bool = False,
    ) -> None:
        if latent not in LATENT_MODES:
            raise ConfigError(f"expected latent to be one of {LATENT_MODES}, got {latent!r}")
        precision = choose_precision(precision, torch.device("cpu"))
        if precision not in PRECISIONS:
            raise ConfigError(f"expected precision to be one of {['auto', *PRECISIONS]}, got {precision!r}")
        require_count("num_envs", num_envs)
        if preprocess is not None:
            world_model.require_frames(preprocess)
        self.world_model = world_model
        self.num_envs = num_envs
        self.latent = latent
        self._preprocess = None if preprocessed else preprocess or known_preprocess(world_model)
        self._raw_shape = None if self._preprocess is None else self._preprocess.raw_shape
        self.clamped = 0
        """Latents clipped to +-10 so far, over all rows."""
        self._noise_scale = float(world_model.latent_noise)
        self._generators: list[np.random.Generator | None] = [None] * num_envs
        self._memory_step = memory_step = MemoryStep(world_model.memory)
        vision = world_model.vision
        require_finite(vision)
        self._convolutions = PackedConvolutions(vision.encoder, PRECISIONS[precision], FRAME_SHAPE[0])
        with torch.no_grad():
            weight = torch.cat([vision.mean.weight, vision.log_variance.weight])  # (2 Z, 1024)
            self._posterior = Packed(weight, torch.cat([vision.mean.bias, vision.log_variance.bias]))
        size = num_envs + -num_envs % memory_step.padding
        self._now, self._next = Buffer.empty(memory_step, size), Buffer.empty(memory_step, size)

    def reset(
        self,
        frames: NDArray[np.uint8],
        *,
        seeds: Sequence[int | None] | None = None,
        mask: NDArray[np.bool_] | None = None,
    ) -> None:
        """Begin an episode in every row, or in those of ``mask``.

        h and c are zero, and z is of the first frame.

        Args:
            frames: the world's raw ones, uint8 of shape (num_envs, *raw_shape), or (num_envs, 64, 64, 3) if
                preprocessed; only rows of ``mask`` are read.
            seeds: one for each row, at least 0. None, for a row or for all, goes on with that row's stream of noise
                (from fresh entropy where it never had a seed).
            mask: bool of shape (num_envs,).

        Raises:
            ObservationError: for frames of another shape or dtype.
            DivergedError: if V gives numbers that are not finite.
        """
        indices = np.arange(self.num_envs) if mask is None else np.flatnonzero(mask)
        chosen = self._chosen(frames, indices)
        for row in indices.tolist():
            seed = None if seeds is None else seeds[row]
            if seed is not None or self._generators[row] is None:
                self._generators[row] = np.random.default_rng(None if seed is None else [_NOISE_STREAM, seed])
        with single_thread() as threads, torch.no_grad():
            z = self._encode(chosen, indices, threads)
            self._now.h[indices] = 0.0
            self._now.c[indices] = 0.0
            self._now.z[indices] = z

    def step(
        self, frames: NDArray[np.uint8], actions: NDArray[np.float32], *, starts: NDArray[np.bool_] | None = None
    ) -> None:
        """Advance h with (z, action) and take z from the new frames.

        Args:
            frames: what the environments showed after the actions, as in :meth:`reset`.
            actions: really executed, float32 of shape (num_envs, action_size).
            starts: bool of shape (num_envs,): rows whose frame is the first of a new episode. h and c become zero
                there, and the action counts for nothing.

        Raises:
            ObservationError: for frames of another shape or dtype.
            ResetNeededError: if a row has never been reset.
            DivergedError: if V gives numbers that are not finite; z and h are then unchanged.
        """
        self.require_reset()
        indices = np.arange(self.num_envs)
        chosen = self._chosen(frames, indices)
        count = self.num_envs
        with single_thread() as threads, torch.no_grad():
            z = self._encode(chosen, indices, threads)
            self._now.action[:count] = torch.from_numpy(actions)
            self._memory_step.advance(self._now, self._next)
            self._now, self._next = self._next, self._now
            if starts is not None:
                begun = np.flatnonzero(starts)
                self._now.h[begun] = 0.0
                self._now.c[begun] = 0.0
            self._now.z[:count] = z

    def require_reset(self) -> None:
        """Raise ResetNeededError, naming them, if there are rows that were never reset."""
        if None in self._generators:
            unborn = [row for row in range(self.num_envs) if self._generators[row] is None]
            raise ResetNeededError(
                f"environments {unborn} were never reset; call reset() before step(). A copy does not go on where its "
                "original was: reset it as well"
            )

    @property
    def state(self) -> LatentState:
        """z, h and c of all rows."""
        z, h, c = (part[: self.num_envs].numpy().copy() for part in (self._now.z, self._now.h, self._now.c))
        return LatentState(z, h, c)

    def features(self) -> NDArray[np.float32]:
        """z and h side by side, a copy, float32 of shape (num_envs, latent_size + hidden_size)."""
        return self._now.rows[: self.num_envs, : self._memory_step.observation_size].numpy().copy()

    def latents(self) -> NDArray[np.float32]:
        """z, a copy, float32 of shape (num_envs, latent_size)."""
        return self.latent_tensor().numpy().copy()

    def prediction(self) -> Prediction:
        """What M predicted of the last step, leading dimension num_envs."""
        m = self._memory_step
        with single_thread(), torch.no_grad():
            return m.prediction(m.predict(self._now.hidden)[: self.num_envs])

    def latent_tensor(self) -> Tensor:
        """z itself, a view that the next call changes, float32 of shape (num_envs, latent_size)."""
        return self._now.z[: self.num_envs]

    def _chosen(self, frames: NDArray[np.uint8], indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The given rows' frames, uint8 of shape (len(indices), *raw_shape) or (len(indices), 64, 64, 3)."""
        if frames.dtype != np.uint8 or frames.shape[1:] not in (self._raw_shape, FRAME_SHAPE):
            raw = "" if self._raw_shape is None else f"{self._raw_shape}, or "
            raise ObservationError(
                f"expected uint8 frames of shape {raw}{FRAME_SHAPE} if preprocessed; got {frames.dtype} of "
                f"shape {frames.shape[1:]}"
            )
        if len(frames) != self.num_envs:
            raise ObservationError(f"expected {self.num_envs} frames, one for each environment; got {len(frames)}")
        return frames if len(indices) == self.num_envs else frames[indices]

    def _encode(self, frames: NDArray[np.uint8], indices: NDArray[np.int64], threads: int) -> Tensor:
        """z of the given rows, float32 of shape (len(indices), latent_size)."""
        posterior = torch.empty(len(frames), 2 * self._memory_step.latent_size, dtype=torch.float32)
        preprocess = self._preprocess if frames.shape[1:] == self._raw_shape else np.ascontiguousarray
        assert preprocess is not None  # as _chosen has seen to

        def work(part: slice) -> None:
            images = torch.from_numpy(preprocess(frames[part]))
            with torch.no_grad():  # a worker's thread has a mode of its own
                features = self._convolutions(images.float().div_(255.0))
                posterior[part] = self._posterior.alike(features)

        for_each_tile(work, _parts(len(frames), threads), threads)
        mean, log_variance = posterior.chunk(2, dim=1)
        if self.latent == "sample":
            mean = mean + self._noise_scale * torch.exp(0.5 * log_variance) * self._noise(indices)
        z = mean.clamp(-LATENT_LIMIT, LATENT_LIMIT)
        clipped = z != mean  # True for NaN as well
        if clipped.any():
            self._count_clamped(mean, clipped, indices)
        return z

    def _count_clamped(self, latents: Tensor, clipped: Tensor, indices: NDArray[np.int64]) -> None:
        broken = latents.isfinite().logical_not_().any(dim=1).numpy()
        if broken.any():
            raise DivergedError(
                f"V gave a latent that is not finite for environments {indices[broken].tolist()}; expected finite "
                "numbers, so its weights are damaged: load the bundle again or train V again"
            )
        self.clamped += int(clipped.sum())

    def _noise(self, indices: NDArray[np.int64]) -> Tensor:
        """Standard normal, each row from its own generator, float32 of shape (len(indices), latent_size)."""
        noise = np.empty((len(indices), self._memory_step.latent_size), dtype=np.float32)
        for out, row in zip(noise, indices.tolist(), strict=True):
            generator = self._generators[row]
            assert generator is not None
            generator.standard_normal(dtype=np.float32, out=out)
        return torch.from_numpy(noise)


def _parts(count: int, threads: int) -> list[slice]:
    size = min(_FRAMES, -(-count // threads))
    return [slice(first, first + size) for first in range(0, count, size)]
