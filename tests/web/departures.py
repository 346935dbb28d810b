"""How far the page, and float32, depart from DreamCore in float64; some minutes: python -m tests.web.departures."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from dreamgym.world_model import PACKAGED, WorldModel
from tests.support.page_dreams import largest_differences, page_starts, record


def main() -> None:
    """Dream in 12 seeds at 3 temperatures, with the controller's actions of float64, in both shipped worlds."""
    for world in ("car_racing", "doom_take_cover"):
        world_model = WorldModel.load(PACKAGED.parent / world)
        starts = page_starts(world_model)
        page, single = [], []
        for seed in range(100, 112):
            dreams = []
            for temperature in (0.3, world_model.temperature, 2.0):
                where = (seed, starts[7 * seed % len(starts)], temperature)
                wide = record(world_model, *where)
                narrow = record(world_model, *where, np.array(wide.steps["action"], np.float32), "float32")
                single.append(np.abs(np.array(wide.steps["z"]) - np.array(narrow.steps["z"])).max())
                dreams.append(wide)
            with TemporaryDirectory() as folder:
                page.append(largest_differences(dreams, Path(folder), compiled=True)["z"])
        print(f"{world}: page, worst {max(page):.1e}; float32, median {np.median(single):.1e}, worst {max(single):.1e}")


if __name__ == "__main__":
    main()
