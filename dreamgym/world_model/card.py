"""What a bundle's card must say: its format, its world, the world's rules, and the sizes of V and M."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from dreamgym.errors import BundleError, BundleVersionError, ConfigError
from dreamgym.memory.mdn_rnn import RewardHead
from dreamgym.world_model.files import FORMATS_READ
from dreamgym.worlds.actions import is_number
from dreamgym.worlds.base import actions_from_card, rewards_from_card
from dreamgym.worlds.registry import find, find_registered

__all__ = ["SIZES", "check_card", "reward_head", "sizes_of"]

SIZES: Final = ("latent_size", "action_size", "hidden_size", "mixtures", "factors")
_WITHOUT_RULES: Final = 3
"""The format whose card says nothing of actions and rewards."""
_MOST_STEPS: Final = 10**9


def check_card(folder: Path, card: dict[str, Any], world: str | None) -> None:
    """Refuse a card that does not say what a bundle must.

    Args:
        folder: of the bundle, for messages.
        card: its card.
        world: the world that it must be of; None for any.

    Raises:
        BundleVersionError: another format, world, or version of the preprocessing.
        BundleError: an entry that is missing or out of range.
    """
    path = folder / "card.json"
    if card.get("format_version") not in FORMATS_READ:
        raise BundleVersionError(
            f"{path}: expected format_version to be one of {list(FORMATS_READ)}, got "
            f"{card.get('format_version')!r}; use a bundle made for it"
        )
    name = card.get("world")
    # A dream needs no description: the name alone may be asked for.
    wanted = None if world is None or world == name else find(world)
    if not isinstance(name, str) or (wanted is not None and name not in (wanted.name, wanted.env_id)):
        raise BundleVersionError(
            f"{path}: expected world {'a name' if wanted is None else wanted.name!r}, got {name!r}; use a bundle made "
            "for it"
        )
    _check_preprocessing(path, name, card)
    for key in ("temperature", "latent_noise", *(("lap_units",) if "rewards" not in card else ())):
        value = card.get(key)
        if not is_number(value) or value < 0:
            raise BundleError(f"{path}: expected {key} to be a number of at least 0, got {value!r}")
        if value == 0 and key != "latent_noise":
            raise BundleError(f"{path}: expected {key} to be positive, got {value!r}")
    _check_rules(path, card)


def _check_preprocessing(path: Path, world: str, card: dict[str, Any]) -> None:
    """Of a world that is known here, the version must be this one's: V would see other pictures."""
    version = card.get("preprocess_version")
    if isinstance(version, bool) or not isinstance(version, int):
        raise BundleVersionError(f"{path}: expected preprocess_version to be a whole number, got {version!r}")
    try:
        known = find_registered(world)
    except ConfigError:
        return
    if version != known.preprocess.version:
        raise BundleVersionError(
            f"{path}: expected preprocess_version {known.preprocess.version}, got {version!r}: its frames were made "
            "otherwise, such as by another crop; use a bundle made for this description, or train again"
        )


def _check_rules(path: Path, card: dict[str, Any]) -> None:
    """A bundle of the present format says what the dream needs of the world."""
    if card["format_version"] == _WITHOUT_RULES:
        return
    try:
        actions, _ = actions_from_card(card["actions"]), rewards_from_card(card["rewards"])
    except (KeyError, TypeError, ConfigError) as error:
        raise BundleError(f"{path}: expected the world's actions and rewards, got {error}") from error
    if actions.size != card.get("action_size"):
        raise BundleError(f"{path}: expected action_size {actions.size}, got {card.get('action_size')!r}")
    for key in ("fps", "max_episode_steps"):
        value = card.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST_STEPS:
            raise BundleError(f"{path}: expected {key} to be a whole number in 1..{_MOST_STEPS}, got {value!r}")
    aspect = card.get("aspect", 1.0)
    if isinstance(aspect, bool) or not isinstance(aspect, int | float) or not 0.1 <= aspect <= 10.0:
        raise BundleError(f"{path}: expected aspect to be a number in 0.1..10, got {aspect!r}")


def reward_head(card: dict[str, Any]) -> RewardHead:
    """Which reward head the bundle's M has."""
    return "count" if card["format_version"] == _WITHOUT_RULES else rewards_from_card(card["rewards"]).head


def sizes_of(folder: Path, card: dict[str, Any]) -> dict[str, int]:
    """The sizes of V and M, by name.

    Raises:
        BundleError: one is missing or out of range.
    """
    sizes = {name: card.get(name) for name in SIZES}
    for name in SIZES:
        value, least = sizes[name], 0 if name == "factors" else 1
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 65536:
            raise BundleError(
                f"{folder / 'card.json'}: expected {name} to be a whole number in {least}..65536, got {value!r}"
            )
    return {name: int(value) for name, value in sizes.items() if value is not None}
