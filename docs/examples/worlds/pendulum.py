"""Pendulum-v1 as its ``render()`` shows it: swing a pole up by a torque, and hold it there."""

from dreamgym.worlds.base import ModelSizes, World

PENDULUM = World.from_env(
    "Pendulum-v1",
    crop=(100, 400, 100, 400),  # the pole and nothing else, of 500 x 500 pixels
    sizes=ModelSizes(latents=16, hidden_units=128),
)
