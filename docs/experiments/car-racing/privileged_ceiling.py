"""The ceiling of CarRacing: tune the driver that is told the map on training tracks, then score it on test tracks.

    python docs/experiments/car-racing/privileged_ceiling.py tune    # 20 minutes on one core; prints the settings
    python docs/experiments/car-racing/privileged_ceiling.py score    # on the fresh test tracks

No frame is drawn, since the driver looks at none: a lap takes half a second.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cma
import gymnasium as gym
import numpy as np

from dreamgym.worlds.car_racing.privileged_driver import PrivilegedDriver, PrivilegedSettings

TRAINING_TRACKS = range(1_000_000, 1_000_048)
CHECK_TRACKS = range(1_000_100, 1_000_150)
TEST_TRACKS = range(30_000, 30_100)
BLANK = np.zeros((96, 96, 3), np.uint8)


def lap(env: Any, seed: int, settings: PrivilegedSettings) -> dict[str, float]:
    """Drive one track to its end."""
    env.reset(seed=seed)
    driver = PrivilegedDriver(settings)
    driver.reset(env, np.random.default_rng(0))
    total, frames, done = 0.0, 0, False
    while not done and frames < 1000:
        _, reward, terminated, truncated, _ = env.step(driver.act(BLANK))
        total, frames, done = total + float(reward), frames + 1, terminated or truncated
    return {"seed": seed, "return": total, "frames": frames, "missed": len(env.track) - env.tile_visited_count}


def laps(seeds: Iterable[int], settings: PrivilegedSettings) -> list[dict[str, float]]:
    """Drive each track once."""
    env: Any = gym.make("CarRacing-v3").unwrapped
    env._render = lambda mode: BLANK  # physics alone
    return [lap(env, seed, settings) for seed in seeds]


def mean_return(seeds: Iterable[int], settings: PrivilegedSettings) -> float:
    """Mean return over the tracks."""
    return float(np.mean([result["return"] for result in laps(seeds, settings)]))


def tune(generations: int = 8) -> PrivilegedSettings:
    """Search factors on the settings by CMA-ES, on training tracks; keep what is better on other training tracks."""
    base = PrivilegedSettings()
    names = [field.name for field in dataclasses.fields(base)]
    scales = np.array([getattr(base, name) or 0.3 for name in names])

    def settings(factors: np.ndarray) -> PrivilegedSettings:
        values = np.array([getattr(base, name) for name in names]) + scales * factors
        return PrivilegedSettings(**{name: max(float(value), 0.0) for name, value in zip(names, values, strict=True)})

    search = cma.CMAEvolutionStrategy(np.zeros(len(names)), 0.06, {"seed": 1, "popsize": 10, "verbose": -9})
    for generation in range(generations):
        candidates = search.ask()
        search.tell(candidates, [-mean_return(TRAINING_TRACKS, settings(one)) for one in candidates])
        print(generation, -search.result.fbest, settings(search.result.xfavorite), flush=True)
    found = settings(search.result.xfavorite)
    return max((base, found), key=lambda one: mean_return(CHECK_TRACKS, one))


def main(task: str) -> None:
    """Tune, or score the package's settings on the test tracks."""
    if task == "tune":
        print(tune())
        return
    results = laps(TEST_TRACKS, PrivilegedSettings())
    returns = np.array([result["return"] for result in results])
    report = {
        "driver": "privileged_driver",
        "settings": dataclasses.asdict(PrivilegedSettings()),
        "mean": float(returns.mean()),
        "std": float(returns.std(ddof=1)),
        "lowest": float(returns.min()),
        "highest": float(returns.max()),
        "fastest_lap_frames": min(result["frames"] for result in results if not result["missed"]),
        "laps_completed": sum(not result["missed"] for result in results),
        "episodes": results,
    }
    out = Path(__file__).parent / "reports" / "privileged-fresh-test-tracks.json"
    out.write_text(json.dumps(report, indent=1) + "\n")
    print({key: value for key, value in report.items() if key != "episodes"})


if __name__ == "__main__":
    main(sys.argv[1])
