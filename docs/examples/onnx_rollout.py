"""Drive in the dream without torch: onnxruntime and NumPy alone.

    dreamgym export --format onnx --out dream-onnx
    pip install onnxruntime numpy safetensors
    python onnx_rollout.py --folder dream-onnx

All that is not in the graphs is here: the noise, the reward rule and the ends of an episode, with the constants of
``manifest.json``. The same few lines are what a program in C++, Rust or JavaScript needs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from safetensors.numpy import load_file


class Dream:
    """One dream of an exported world model."""

    def __init__(self, folder: Path, seed: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # quickest for one row
        self.step_graph, self.controller, self.decoder = (
            onnxruntime.InferenceSession(folder / f"{name}.onnx", options) for name in ("step", "controller", "decoder")
        )
        self.manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self.starts = load_file(folder / "starts.safetensors")
        self.rng = np.random.default_rng(seed)
        self.reset()

    def reset(self) -> None:
        """Begin at the first state of the start, where h and c are zero."""
        self.state = {name: self.starts[name][:1] for name in ("z", "h", "c")}
        self.progress, self.elapsed = float(self.starts["progress"][0]), 0

    def act(self) -> np.ndarray:
        """The controller's action, (1, A)."""
        (action,) = self.controller.run(None, {name: self.state[name] for name in ("z", "h")})
        return action

    def step(self, action: np.ndarray, temperature: float) -> tuple[float, str]:
        """The reward, and why the episode ended: "" while it goes on."""
        sizes, rule = self.manifest["sizes"], self.manifest["rewards"]
        noise = {
            "uniform": self.rng.random((1, sizes["latents"]), np.float32),
            "normal": self.rng.standard_normal((1, sizes["latents"] + sizes["factors"]), np.float32),
            "temperature": np.full((1, 1), temperature, np.float32),
        }
        outputs = [output.name for output in self.step_graph.get_outputs()]
        found = dict(zip(outputs, self.step_graph.run(None, {**self.state, **noise, "action": action}), strict=True))
        self.state = {name: found[f"next_{name}"] for name in ("z", "h", "c")}
        before, self.elapsed = self.progress, self.elapsed + 1
        self.progress += found["units"].item() / rule["unit"]
        if rule["cap"] is not None:
            self.progress = min(self.progress, rule["cap"])
        reward = rule["constant"] + rule["scale"] * (self.progress - before)
        if self.rng.random() < 1 / (1 + np.exp(-found["termination_logit"].item())):
            return (reward if rule["failure"] is None else rule["failure"]), "failure"
        if rule["cap"] is not None and self.progress >= rule["cap"]:
            return reward, "complete"
        return reward, "time limit" if self.elapsed >= self.manifest["max_episode_steps"] else ""

    def picture(self) -> np.ndarray:
        """V's picture of the moment, uint8 (64, 64, 3)."""
        (image,) = self.decoder.run(None, {"z": self.state["z"]})
        return (image[0].transpose(1, 2, 0) * 255).round().astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("dream-onnx"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--temperature", type=float, help="the bundle's own when not given")
    arguments = parser.parse_args()
    dream = Dream(arguments.folder, arguments.seed)
    temperature = arguments.temperature or dream.manifest["temperature"]
    total, ended = 0.0, ""
    while not ended:
        reward, ended = dream.step(dream.act(), temperature)
        total += reward
    print(f"return {total:.1f} after {dream.elapsed} steps: {ended}; progress {dream.progress:.2f}")
    print(f"last picture: {dream.picture().shape}, mean {dream.picture().mean():.1f}")


if __name__ == "__main__":
    main()
