"""Real environments that are made here: what a single one and a batch of them have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from gymnasium.utils import EzPickle

from dreamgym.dream.latent_encoder import LatentState

if TYPE_CHECKING:
    from dreamgym.wrappers.latent import LatentObservation
    from dreamgym.wrappers.vector_latent import VectorLatentObservation

__all__ = ["Remade"]


class Remade(EzPickle):
    """Copies and pickles itself from its constructor's arguments."""

    _latent: LatentObservation | VectorLatentObservation

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        """Note the arguments."""
        made = super().__new__(cls)
        EzPickle.__init__(made, *arguments, **options)
        return made

    @property
    def latent_state(self) -> LatentState:
        """z, h and c as they are now, copies.

        float32 of shape (Z,), (H,) and (H,); of a batch, (num_envs, ...) each.
        """
        return self._latent.latent_state

    @property
    def clamped(self) -> int:
        """How many latents were clipped to +-10 since construction."""
        return self._latent.encoder.clamped
