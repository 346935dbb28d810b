"""Noise as a pure function of (row seed, episode, counter): reproducible, independent of the batch, without objects.

A generator object for each environment is slow, and one generator for all of them makes a row depend on its
neighbours. A counter-based hash needs neither: every draw is a function of the row's own seed, how many episodes the
row has begun, and a counter that names the draw. Nothing is kept between draws, so saving a state means saving three
integers.

Integers wrap at their width, which is what two's complement multiplication does on every device torch runs on.
"""

from __future__ import annotations

import functools
import math
from typing import Final

import torch
from torch import Tensor

__all__ = ["fold_seed", "normals", "row_keys", "uniforms"]

_UNIFORM_SCALE: Final = 2.0**-24  # 24 bits fill a float32's significand exactly
_MASK_63: Final = (1 << 63) - 1


def _signed(value: int, bits: int) -> int:
    """The two's complement reading of an unsigned constant."""
    return value - (1 << bits) if value >> (bits - 1) else value


_GOLDEN: Final = _signed(0x9E3779B97F4A7C15, 64)
_SPLITMIX_A: Final = _signed(0xBF58476D1CE4E5B9, 64)
_SPLITMIX_B: Final = _signed(0x94D049BB133111EB, 64)
ROUND_A: Final = _signed(0xED5AD4BB, 32)
ROUND_B: Final = _signed(0xAC4C1B51, 32)
ROUND_C: Final = _signed(0x31848BAB, 32)


def fold_seed(seed: int) -> int:
    """A non-negative integer of any size as one of 63 bits.

    Those below 2**63 stay as they are.
    """
    folded = seed & _MASK_63
    while seed := seed >> 63:
        folded ^= seed & _MASK_63
    return folded


def _shift_right(value: Tensor, count: int) -> Tensor:
    """Logical shift; torch's own fills with the sign bit."""
    bits = 8 * value.element_size()
    return (value >> count).bitwise_and_((1 << (bits - count)) - 1)


def _splitmix(value: Tensor) -> Tensor:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, 2014), int64."""
    value = value + _GOLDEN
    value = (value ^ _shift_right(value, 30)) * _SPLITMIX_A
    value = (value ^ _shift_right(value, 27)) * _SPLITMIX_B
    return value ^ _shift_right(value, 31)


def row_keys(seed: Tensor, episode: Tensor) -> Tensor:
    """What :func:`uniforms` is keyed by.

    Args:
        seed: int64 of shape (B,).
        episode: episodes begun by each row since it was seeded, int64 of shape (B,).

    Returns:
        int32 of shape (B, 2).
    """
    mixed = _splitmix(_splitmix(seed) ^ (episode * _GOLDEN))
    return torch.stack([mixed.to(torch.int32), (mixed >> 32).to(torch.int32)], dim=1)


class _Constants:
    """The numbers of :func:`uniforms` as tensors.

    On a tile of rows, wrapping a Python number in every call to torch costs as much as the arithmetic.
    """

    def __init__(self, device: torch.device) -> None:
        def number(value: int) -> Tensor:
            return torch.tensor(value, dtype=torch.int32, device=device)

        self.factors = [number(value) for value in (ROUND_A, ROUND_B, ROUND_C)]
        self.shifts = {count: (number(count), number((1 << (32 - count)) - 1)) for count in (8, 11, 14, 15, 17)}

    def shift_right(self, value: Tensor, count: int, out: Tensor) -> Tensor:
        """Logical shift of int32 into ``out``."""
        shift, mask = self.shifts[count]
        return torch.bitwise_right_shift(value, shift, out=out).bitwise_and_(mask)


@functools.cache
def _constants(device: torch.device) -> _Constants:
    return _Constants(device)


def uniforms(keys: Tensor, counters: Tensor) -> Tensor:
    """Uniform draws on [0, 1), multiples of 2**-24.

    Three rounds of multiply and xor-shift (the constants of Wellons's triple32), a word of the key before each of the
    first two.

    Args:
        keys: int32 of shape (B, 2).
        counters: names of the draws, int32 broadcastable to (B, n).

    Returns:
        float32 of shape (B, n).
    """
    constants = _constants(keys.device)
    first, second, third = constants.factors
    bits = counters ^ keys[:, :1]
    shifted = torch.empty_like(bits)
    bits.bitwise_xor_(constants.shift_right(bits, 17, shifted)).mul_(first).bitwise_xor_(keys[:, 1:])
    bits.bitwise_xor_(constants.shift_right(bits, 11, shifted)).mul_(second)
    bits.bitwise_xor_(constants.shift_right(bits, 15, shifted)).mul_(third)
    bits.bitwise_xor_(constants.shift_right(bits, 14, shifted))
    return constants.shift_right(bits, 8, shifted).float().mul_(_UNIFORM_SCALE)


def normals(uniform: Tensor) -> Tensor:
    """Standard normal draws from uniform ones, by the inverse of their distribution function.

    Args:
        uniform: multiples of 2**-24 in [0, 1), of any shape.

    Returns:
        Of the same shape and type, within +-5.5.
    """
    centred = uniform.mul(2.0).sub_(1.0 - 2.0**-24)  # the middle of each step of 2**-24, in (-1, 1): exact
    return centred.erfinv_().mul_(math.sqrt(2.0))
