"""Atari's Freeway (``pip install ale-py``, which brings the game): a point for each time across the road."""

from dreamgym.worlds.base import ModelSizes, World

FREEWAY = World.from_env(
    "ale_py:ALE/Freeway-v5",  # 4 frames a step, and an action is repeated with probability 0.25
    crop=(14, 196, 8, 88),  # the left half, where the chicken walks: two pixels wide in the whole picture
    max_episode_steps=500,  # a quarter of a game
    sizes=ModelSizes(latents=32, hidden_units=128),
)
