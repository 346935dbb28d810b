"""Play by hand: in reality, in the dream, and from one into the other: ``dreamgym play``.

Data flows one way: keys (``commands``, ``controls``) → commands and actions → the session (``session``, ``playable``),
which knows nothing of a window → the picture (``screen`` and what it draws with) → the window (``loop``) or a file
(``recordings``, ``video``). Actions, keys, frame rate and reward rule are the world model's; only the real environment
needs its :class:`~dreamgym.worlds.base.World`.
"""

from dreamgym.play.command import run

__all__ = ["run"]
