"""Noise as a pure function of (row seed, episode, counter): reproducible, independent of the batch, without objects.

A generator object for each environment is slow, and one generator for all of them makes a row depend on its
neighbours. A counter-based hash needs neither: every draw is a function of the row's own seed, how many episodes the
row has begun, and a counter that names the draw. Nothing is kept between draws, so saving a state means saving three
integers.

Integers wrap at their width, which is what two's complement multiplication does on every device torch runs on.
"""

from __future__ import annotations

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
_ROUND_A: Final = _signed(0xED5AD4BB, 32)
_ROUND_B: Final = _signed(0xAC4C1B51, 32)
_ROUND_C: Final = _signed(0x31848BAB, 32)


def fold_seed(seed: int) -> int:
    """A non-negative integer of any size as one of 63 bits; those below 2**63 stay as they are."""
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
    bits = counters ^ keys[:, :1]
    bits ^= _shift_right(bits, 17)
    bits *= _ROUND_A
    bits ^= keys[:, 1:]
    bits ^= _shift_right(bits, 11)
    bits *= _ROUND_B
    bits ^= _shift_right(bits, 15)
    bits *= _ROUND_C
    bits ^= _shift_right(bits, 14)
    return _shift_right(bits, 8).to(torch.float32).mul_(_UNIFORM_SCALE)


def normals(uniform: Tensor) -> Tensor:
    """Standard normal draws from uniform ones, two from two (Box and Muller, 1958).

    Args:
        uniform: float32 of shape (B, 2n), in [0, 1).

    Returns:
        float32 of shape (B, 2n), within +-5.8.
    """
    first, second = uniform.chunk(2, dim=1)
    radius = (1.0 - first).log_().mul_(-2.0).sqrt_()
    angle = second * (2.0 * math.pi)
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)
