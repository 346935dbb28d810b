"""The moving picture of the docs, docs/_static/dream.gif: the bundle's controller drives in the dream.

    python docs/moving_picture.py

Needs the extra "train".
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gymnasium as gym
from PIL import Image

from dreamgym.evaluate import load_policy
from dreamgym.world_model import WorldModel

EVERY = 4  # of 50 frames a second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world-model", type=Path, help="a bundle's folder; the shipped one when not given")
    parser.add_argument("--controller", type=Path, help="a controller's file; the bundle's own when not given")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=320)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "_static" / "dream.gif")
    args = parser.parse_args()
    world = WorldModel.load(args.world_model)
    policy = load_policy(args.controller, world)
    env = gym.make("dreamgym:DreamCarRacing-v0", world_model=world, render_mode="rgb_array")
    observation, _ = env.reset(seed=args.seed)
    pictures: list[Image.Image] = []
    for step in range(args.steps):
        if step % EVERY == 0:
            pictures.append(Image.fromarray(env.render()).resize((240, 210)).quantize(64))
        observation, _, terminated, _, _ = env.step(policy(observation[None])[0])
        if terminated:
            break
    env.close()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    pictures[0].save(args.out, save_all=True, append_images=pictures[1:], duration=20 * EVERY, loop=0, optimize=True)
    print(f"{args.out}: {len(pictures)} pictures, {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
