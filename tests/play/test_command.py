"""The command that opens the window."""

from __future__ import annotations

from pathlib import Path

from dreamgym.config import PlayConfig
from dreamgym.data.seeds import COLLECTION_SEEDS
from dreamgym.play.command import make_session


def test_seeds_of_play_are_fresh_and_no_collections(toy_bundle: Path) -> None:
    seeds = set()
    for _ in range(3):
        session = make_session(PlayConfig(world_model=toy_bundle, view="dream"), "random")
        seeds.add(session.seed)
        session.close()
    assert len(seeds) == 3
    assert all(seed in COLLECTION_SEEDS and seed >= COLLECTION_SEEDS.start + 900 * 1_000_000 for seed in seeds)
