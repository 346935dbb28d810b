"""Gymnasium wrappers that show reality as the dream does, and adapters for other libraries.

The folder stands at the top level of the repository and is imported as ``dreamgym.wrappers``.
"""

from __future__ import annotations

if __name__ != "dreamgym.wrappers":
    raise ImportError(
        f"dreamgym's wrappers were imported as {__name__!r}; wanted 'dreamgym.wrappers'. Install the package "
        "(pip install -e .) or run from the repository's root, and import dreamgym.wrappers."
    )

__all__: list[str] = []
