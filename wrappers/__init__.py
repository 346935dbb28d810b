"""Gymnasium wrappers that show reality as the dream does, and adapters for other libraries.

The folder stands at the top level of the repository and is imported as ``dreamgym.wrappers``.
"""

from __future__ import annotations

if __name__ != "dreamgym.wrappers":
    raise ImportError(
        f"dreamgym's wrappers were imported as {__name__!r}; wanted 'dreamgym.wrappers'. Install the package "
        "(pip install -e .) or run from the repository's root, and import dreamgym.wrappers."
    )

from typing import TYPE_CHECKING

from dreamgym._lazy import lazy_names as _lazy_names

if TYPE_CHECKING:
    from dreamgym.wrappers.latent import LatentObservation as LatentObservation
    from dreamgym.wrappers.sb3 import SB3VecEnv as SB3VecEnv
    from dreamgym.wrappers.vector_latent import VectorLatentObservation as VectorLatentObservation

__all__ = ["LatentObservation", "SB3VecEnv", "VectorLatentObservation"]

# Imported when first asked for: torch is slow to load, and Stable-Baselines3 is not everyone's.
__getattr__, __dir__ = _lazy_names(
    __name__,
    {
        "LatentObservation": "dreamgym.wrappers.latent",
        "SB3VecEnv": "dreamgym.wrappers.sb3",
        "VectorLatentObservation": "dreamgym.wrappers.vector_latent",
    },
)
