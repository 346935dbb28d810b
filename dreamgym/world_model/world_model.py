"""The world model as a bundle of files: V, M, a bank of real start states, a controller, and a card about them.

A folder of safetensors files beside ``card.json``, which holds each file's SHA-256. Nothing is unpickled. A folder is
replaced as a whole: at every moment the old bundle is there or the new one. Who reads while it is replaced may find
files of both, which is an error and no mixture: they must match the card's hashes. Then read again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from dreamgym.errors import BundleVersionError, ConfigError
from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.threads import single_thread
from dreamgym.vision.vae import VAE, fold
from dreamgym.world_model.card import SIZES, check_card, reward_head, sizes_of
from dreamgym.world_model.files import (
    CONTROLLER,
    FORMAT_VERSION,
    MEMORY,
    STARTS,
    VISION,
    lossless,
    read_bundle,
    write_bundle,
)
from dreamgym.world_model.location import locate
from dreamgym.world_model.parts import StartBank, controller_of, fill, start_bank_of
from dreamgym.worlds.base import ActionSet, Preprocess, RewardRule, World, actions_from_card, rewards_from_card, to_card
from dreamgym.worlds.registry import DEFAULT, find_registered

if TYPE_CHECKING:
    from dreamgym.controller.linear import LinearController

__all__ = ["WorldModel"]

_EVENT: Final = "event_head.weight"
_FORMER_KEYS: Final = {"progress_head": "reward_head", "missed_head": "event_head", "at_line": "at_start"}
"""What formats 3 and 4 call some of M's heads and of the start states' parts."""
_HALVES: Final = ("h", "c")
"""Of the start states, stored in float16: of the shipped ones, this moved M's next prediction by 0.006 of its sigmas at
most, 0.0004 in the mean. z stays in float32: at the start of an episode h and c are zero, and the dream is the same."""
_MEMORY_TYPES: Final = (torch.bfloat16, torch.float32)


@dataclass
class WorldModel:
    """V, M, start states and a controller that belong together.

    The card says where they came from.

    The modules are in evaluation mode and need no gradients; call ``requires_grad_()`` to train on.
    """

    vision: VAE
    memory: MDNRNN
    starts: StartBank
    controller: LinearController | None = None
    card: dict[str, Any] = field(default_factory=dict)

    @single_thread()
    @torch.inference_mode(False)
    def __deepcopy__(self, memo: dict[int, Any]) -> WorldModel:
        """Copied as it is loaded: without torch's pool, which a forked process does not have."""
        copy = object.__new__(type(self))
        memo[id(self)] = copy
        vars(copy).update(deepcopy(vars(self), memo))
        return copy

    def require_frames(self, preprocess: Preprocess) -> None:
        """Raise :class:`~dreamgym.errors.BundleVersionError` unless V was trained on the frames of a preprocessing."""
        if preprocess.version != self.preprocess_version:
            raise BundleVersionError(
                f"world_model: expected preprocess_version {preprocess.version}, got {self.preprocess_version}: V saw "
                "frames that were made otherwise, such as by another crop. Use a bundle made for this description, or "
                "train again"
            )

    def require_fit(self, world: World) -> None:
        """Refuse a description with other frames or actions than V and M learned from.

        Raises:
            BundleVersionError: it has others.
        """
        self.require_frames(world.preprocess)
        there, here = to_card(self.actions), to_card(world.actions)
        changed = [
            f"{name}: {there[name]!r} in the bundle, {here[name]!r} in the description"
            for name in ("low", "high", "discrete", "rule", "threshold", "box")
            if there[name] != here[name]
        ]
        if changed:
            raise BundleVersionError(
                f"world_model: expected the actions of {world.name} as it is described, got others "
                f"({'; '.join(changed)}). Use a bundle made for this description, or train again"
            )

    @property
    def latent_noise(self) -> float:
        """How much of the posterior's sigma a latent is drawn with.

        In training and in use; 1 is the paper's.
        """
        return float(self.card.get("latent_noise", 1.0))

    @property
    def temperature(self) -> float:
        """The temperature that the dream is meant for."""
        return float(self.card.get("temperature", 1.0))

    @property
    def world_name(self) -> str:
        """The name of the world that it was made from."""
        name = str(self.card.get("world", DEFAULT))
        return name if "actions" in self.card else find_registered(name).name  # format 3 has the env's id

    @property
    def actions(self) -> ActionSet:
        """What an agent can do."""
        entry = self.card.get("actions")
        return find_registered(self.world_name).actions if entry is None else actions_from_card(entry)

    @property
    def rewards(self) -> RewardRule:
        """What a step of the dream pays."""
        entry = self.card.get("rewards")
        if entry is None:  # a bundle of format 3
            return dataclasses.replace(
                find_registered(self.world_name).rewards, unit=float(self.card.get("lap_units", 280.0))
            )
        return rewards_from_card(entry)

    @property
    def fps(self) -> int:
        """Steps a second of the real environment."""
        return int(self.card.get("fps") or find_registered(self.world_name).fps)

    @property
    def max_episode_steps(self) -> int:
        """The time limit of an episode."""
        return int(self.card.get("max_episode_steps") or find_registered(self.world_name).max_episode_steps)

    @property
    def aspect(self) -> float:
        """Width over height of the view that V's square pictures show; 1 where nobody says."""
        if "aspect" in self.card:
            return float(self.card["aspect"])
        try:
            return find_registered(self.world_name).aspect
        except ConfigError:  # a world of somebody's own
            return 1.0

    @property
    def preprocess_version(self) -> int:
        """Version of the preprocessing that V was trained on."""
        return int(self.card.get("preprocess_version") or find_registered(self.world_name).preprocess.version)

    @classmethod
    @single_thread()
    @torch.inference_mode(False)  # weights made in it could not be used outside
    def load(cls, path: str | Path | None = None, *, world: str | None = None) -> WorldModel:
        """Read a bundle, strictly.

        Args:
            path: its folder; see :func:`locate` for None.
            world: the name of the world that it must have been made from; None for any.

        Raises:
            BundleNotFoundError: nothing there.
            BundleVersionError: made from another world, or by another format or preprocessing version.
            BundleError: a damaged file, by name: hash, key, shape, dtype, or a value that is not finite.
        """
        folder = locate(path, world)
        card, tensors = read_bundle(folder)
        check_card(folder, card, world)
        sizes = sizes_of(folder, card)
        for name in (MEMORY, STARTS):
            tensors[name] = {_renamed(key): value for key, value in tensors[name].items()}
        present = card["format_version"] == FORMAT_VERSION
        # On "meta" nothing is allocated, or drawn from torch's generator, before the shapes are known to be right.
        with torch.device("meta"):
            vision = VAE(sizes["latent_size"], folded=present)
            memory = MDNRNN(**sizes, reward=reward_head(card), event=_EVENT in tensors[MEMORY])
        fill(vision, tensors[VISION], (torch.float16,), folder / VISION)
        fill(memory, tensors[MEMORY], _MEMORY_TYPES if present else (torch.float32,), folder / MEMORY)
        starts = start_bank_of(tensors[STARTS], sizes, _HALVES if present else (), folder / STARTS)
        found = cls(fold(vision), memory, starts, None, card)
        if CONTROLLER in tensors:
            found.controller = controller_of(tensors[CONTROLLER], sizes, found.actions, folder / CONTROLLER)
        return found

    def save(self, folder: str | Path) -> None:
        """Write the bundle, replacing one that is there, as a whole or not at all.

        V is stored folded, see :class:`~dreamgym.vision.vae.VAE`, and in float16, as h and c of the start states are.
        M's weights stay as they are: each tensor is stored in bfloat16 where that holds its numbers, else in float32.
        :func:`~dreamgym.world_model.build.assemble` rounds them, so that both precisions dream of the same network.

        Raises:
            OutputFolderError: when the folder holds something other than a bundle.
            BundleError: when it cannot be written (what was there before is untouched), or a value is not finite.
        """
        memory = self.memory
        tensors: dict[str, Mapping[str, Tensor]] = {
            VISION: {name: value.half() for name, value in fold(self.vision).state_dict().items()},
            MEMORY: {name: lossless(value.float()) for name, value in memory.state_dict().items()},
            STARTS: {name: part.half() if name in _HALVES else part for name, part in vars(self.starts).items()},
        }
        metadata: dict[str, Mapping[str, str]] = {}
        if self.controller is not None:
            tensors[CONTROLLER] = {name: torch.from_numpy(value) for name, value in self.controller.tensors().items()}
            metadata[CONTROLLER] = self.controller.metadata()  # so that the file can be read alone, too
        card = {
            **{name: value for name, value in self.card.items() if name != "lap_units"},  # now in the reward rule
            "format_version": FORMAT_VERSION,
            "preprocess_version": self.preprocess_version,
            "world": self.world_name,
            "actions": to_card(self.actions),
            "rewards": to_card(self.rewards),
            "fps": self.fps,
            "max_episode_steps": self.max_episode_steps,
            "aspect": self.aspect,
            "temperature": self.temperature,
            "latent_noise": self.latent_noise,
            **{name: getattr(memory, name) for name in SIZES},
        }
        write_bundle(Path(folder), card, tensors, metadata)


def _renamed(key: str) -> str:
    head, dot, rest = key.partition(".")
    return _FORMER_KEYS.get(head, head) + dot + rest
