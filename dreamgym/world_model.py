"""The world model as a bundle of files: V, M, a bank of real start states, a controller, and a card about them.

A folder of safetensors files beside ``card.json``, which holds each file's SHA-256. Nothing is unpickled. A folder is
replaced as a whole: at every moment the old bundle is there or the new one. Who reads while it is replaced may find
files of both, which is an error and no mixture: they must match the card's hashes. Then read again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from dreamgym.bundle import CONTROLLER, FORMAT_VERSION, MEMORY, STARTS, VISION, read_bundle, write_bundle
from dreamgym.errors import BundleError, BundleNotFoundError, BundleVersionError
from dreamgym.memory.mdn_rnn import LATENT_LIMIT, MDNRNN
from dreamgym.real.preprocess import PREPROCESS_VERSION
from dreamgym.real.world import CAR_RACING
from dreamgym.vision.vae import VAE

if TYPE_CHECKING:
    from dreamgym.control.linear import LinearController

__all__ = ["LATENT_LIMIT", "MODELS_VARIABLE", "PACKAGED", "StartBank", "WorldModel", "locate"]

MODELS_VARIABLE: Final = "DREAMGYM_MODELS"
"""Environment variable with the folder of the bundle to use where none is given."""

PACKAGED: Final = Path(__file__).parent / "assets" / "car_racing"
"""The folder of the package's own bundle."""
_SIZES: Final = ("latent_size", "action_size", "hidden_size", "mixtures", "factors")


@dataclass(frozen=True)
class StartBank:
    """Real moments that a dream may begin at; N of them, float32 tensors."""

    z: Tensor
    """(N, latent_size), within +-10."""
    h: Tensor
    """(N, hidden_size), within +-1; zero at the line."""
    c: Tensor
    """(N, hidden_size)."""
    progress: Tensor
    """Share of the lap already made, in [0, 1], (N,)."""
    at_line: Tensor
    """Whether the moment is the true start of an episode, bool (N,)."""
    hard: Tensor
    """Whether it was chosen for its difficulty: before a sharp bend or a mishap, or after one; bool (N,)."""

    def __len__(self) -> int:
        return len(self.z)

    def to(self, device: torch.device | str) -> StartBank:
        """The bank on a device."""
        return StartBank(**{name: tensor.to(device) for name, tensor in vars(self).items()})


def locate(path: str | Path | None = None) -> Path:
    """The folder of the bundle: the argument, else the variable ``DREAMGYM_MODELS``, else the package's own.

    Raises:
        BundleNotFoundError: when there is no ``card.json`` there; the message lists what was looked at.
    """
    given = os.environ.get(MODELS_VARIABLE)
    if path is not None:
        folder, source = Path(path), "the argument"
    elif given:
        folder, source = Path(given), f"the environment variable {MODELS_VARIABLE}"
    else:
        folder, source = PACKAGED, "the package"
    # A save that was killed between its two renames leaves the old bundle under the second name.
    previous = folder.absolute().with_name(f".{folder.absolute().name}.previous")
    for candidate in (folder, previous):
        if (candidate / "card.json").is_file():
            return candidate
    raise BundleNotFoundError(
        f"expected a world model (a folder with card.json) at {folder}, named by {source}; found none. Looked in: "
        f"argument {path}, {MODELS_VARIABLE}={given}, package {PACKAGED}. Pass world_model=FOLDER, set "
        f"{MODELS_VARIABLE}, or make one with `dreamgym train all`"
    )


@dataclass
class WorldModel:
    """V, M, start states and a controller that belong together, and the card that says where they came from.

    The modules are in evaluation mode and need no gradients; call ``requires_grad_()`` to train on.
    """

    vision: VAE
    memory: MDNRNN
    starts: StartBank
    controller: LinearController | None = None
    card: dict[str, Any] = field(default_factory=dict)

    @property
    def latent_noise(self) -> float:
        """How much of the posterior's sigma a latent is drawn with, in training and in use; 1 is the paper's."""
        return float(self.card.get("latent_noise", 1.0))

    @property
    def temperature(self) -> float:
        """The temperature that the dream is meant for; its driver was evolved at it."""
        return float(self.card.get("temperature", 1.0))

    @property
    def lap_units(self) -> float:
        """Units of progress (tiles of the track) in a lap, the mean over the training tracks."""
        return float(self.card.get("lap_units", 280.0))

    @classmethod
    @torch.inference_mode(False)  # weights made in it could not be used outside
    def load(cls, path: str | Path | None = None, *, world: str = CAR_RACING.name) -> WorldModel:
        """Read a bundle, strictly.

        Args:
            path: its folder; see :func:`locate` for None.
            world: the world that it must have been made from.

        Raises:
            BundleNotFoundError: nothing there.
            BundleVersionError: made from another world, or by another format or preprocessing version.
            BundleError: a damaged file, by name: hash, key, shape, dtype, or a value that is not finite.
        """
        folder = locate(path)
        card, tensors = read_bundle(folder)
        _check_versions(folder, card, world)
        sizes = _sizes(folder, card)
        # On "meta" nothing is allocated, or drawn from torch's generator, before the shapes are known to be right.
        with torch.device("meta"):
            vision = VAE(sizes["latent_size"])
            memory = MDNRNN(**sizes)
        _fill(vision, tensors[VISION], folder / VISION)
        _fill(memory, tensors[MEMORY], folder / MEMORY)
        starts = _start_bank(tensors[STARTS], sizes, folder / STARTS)
        controller = _controller(tensors[CONTROLLER], sizes, folder / CONTROLLER) if CONTROLLER in tensors else None
        return cls(vision, memory, starts, controller, card)

    def save(self, folder: str | Path) -> None:
        """Write the bundle, replacing one that is there, as a whole or not at all. V is stored in float16.

        Raises:
            OutputFolderError: when the folder holds something other than a bundle.
            BundleError: when it cannot be written (what was there before is untouched), or a value is not finite.
        """
        memory = self.memory
        tensors: dict[str, Mapping[str, Tensor]] = {
            VISION: {name: value.half() for name, value in self.vision.state_dict().items()},
            MEMORY: {name: value.float() for name, value in memory.state_dict().items()},
            STARTS: vars(self.starts),
        }
        if self.controller is not None:
            pair = {"weights": self.controller.weights, "bias": self.controller.bias}
            tensors[CONTROLLER] = {name: torch.from_numpy(value) for name, value in pair.items()}
        card = {
            "format_version": FORMAT_VERSION,
            "world": CAR_RACING.name,
            "preprocess_version": PREPROCESS_VERSION,
            **self.card,
            "temperature": self.temperature,
            "latent_noise": self.latent_noise,
            "lap_units": self.lap_units,
            **{name: getattr(memory, name) for name in _SIZES},
        }
        write_bundle(Path(folder), card, tensors)


def _check_versions(folder: Path, card: dict[str, Any], world: str) -> None:
    wanted = {"format_version": FORMAT_VERSION, "world": world, "preprocess_version": PREPROCESS_VERSION}
    for key, value in wanted.items():
        if card.get(key) != value:
            raise BundleVersionError(
                f"{folder / 'card.json'}: expected {key} {value!r}, got {card.get(key)!r}; use a bundle made for it"
            )
    for key in ("temperature", "latent_noise", "lap_units"):
        value = card.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value < float("inf"):
            raise BundleError(f"{folder / 'card.json'}: expected {key} to be a number of at least 0, got {value!r}")
        if value == 0 and key != "latent_noise":
            raise BundleError(f"{folder / 'card.json'}: expected {key} to be positive, got {value!r}")


def _sizes(folder: Path, card: dict[str, Any]) -> dict[str, int]:
    sizes = {name: card.get(name) for name in _SIZES}
    for name in _SIZES:
        value, least = sizes[name], 0 if name == "factors" else 1
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 65536:
            raise BundleError(
                f"{folder / 'card.json'}: expected {name} to be a whole number in {least}..65536, got {value!r}"
            )
    return {name: int(value) for name, value in sizes.items() if value is not None}


def _require(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, tuple[tuple[int, ...], torch.dtype]], path: Path
) -> None:
    """Keys, shapes, dtypes and finiteness, or a BundleError that says which."""
    missing, unexpected = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    if missing or unexpected:
        raise BundleError(f"{path}: missing keys {missing}, unexpected keys {unexpected}")
    for key, (shape, dtype) in wanted.items():
        got = tensors[key]
        if tuple(got.shape) != shape or got.dtype != dtype:
            raise BundleError(f"{path}: expected {key} as {dtype} of {shape}, got {got.dtype} of {tuple(got.shape)}")
        if got.is_floating_point() and not torch.isfinite(got).all():
            raise BundleError(f"{path}: expected finite numbers, got NaN or infinity in {key}")


def _fill(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    dtype = torch.float16 if isinstance(module, VAE) else torch.float32
    _require(tensors, {key: (tuple(value.shape), dtype) for key, value in module.state_dict().items()}, path)
    module.load_state_dict({key: value.float() for key, value in tensors.items()}, assign=True)
    module.eval().requires_grad_(False)


def _start_bank(tensors: Mapping[str, Tensor], sizes: Mapping[str, int], path: Path) -> StartBank:
    count = len(tensors["z"]) if "z" in tensors and tensors["z"].ndim else 0
    latent, hidden, f32 = sizes["latent_size"], sizes["hidden_size"], torch.float32
    numbers = {"z": (count, latent), "h": (count, hidden), "c": (count, hidden), "progress": (count,)}
    kinds = {"at_line": ((count,), torch.bool), "hard": ((count,), torch.bool)}
    _require(tensors, {**{key: (shape, f32) for key, shape in numbers.items()}, **kinds}, path)
    if not count:
        raise BundleError(f"{path}: expected at least one start state, got none")
    for key, low, high in (("z", -LATENT_LIMIT, LATENT_LIMIT), ("h", -1.0, 1.0), ("progress", 0.0, 1.0)):
        if not ((tensors[key] >= low) & (tensors[key] <= high)).all():
            raise BundleError(f"{path}: expected {key} within {low} .. {high}, got values outside")
    return StartBank(**tensors)


def _controller(tensors: Mapping[str, Tensor], sizes: Mapping[str, int], path: Path) -> LinearController:
    from dreamgym.control.linear import LinearController

    actions, observation = sizes["action_size"], sizes["latent_size"] + sizes["hidden_size"]
    f32 = torch.float32
    _require(tensors, {"weights": ((actions, observation), f32), "bias": ((actions,), f32)}, path)
    return LinearController(tensors["weights"].numpy(), tensors["bias"].numpy())
