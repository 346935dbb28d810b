"""Scalar functions for the compiled loops of :mod:`dreamgym.dream.compiled_step`, in float32.

They are written so that LLVM makes vector instructions of a loop over them: constants are float32 (a Python number
would widen all that it touches), conditions are selections, exp and log are polynomials, after Cephes, good to 2e-7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from dreamgym.dream.noise import ROUND_A, ROUND_B, ROUND_C

__all__ = ["ONE", "TWO", "exp", "gated_tanh", "log", "normal", "number", "rounded", "uniform"]

ONE, TWO = np.float32(1.0), np.float32(2.0)

_f32, _i32, _u32 = np.float32, np.int32, np.uint32
_inline = numba.njit(nogil=True, inline="always", error_model="numpy")
_HALF = _f32(0.5)
_LOG2_E = _f32(1.44269504)
_LN2_HIGH, _LN2_LOW = _f32(0.693359375), _f32(-2.12194440e-4)  # ln 2 in two parts, the first exact in few bits
_ROUNDER = _f32(1.5 * 2.0**23)  # added and taken away again, it rounds to a whole number
_EXP_LEAST, _EXP_MOST = _f32(-87.3), _f32(88.0)  # beyond these the result is not a normal number
_TANH_FLAT = _f32(20.0)  # tanh(x / 2) is 1 from here on; much further, the denominator is infinite before it is
_ROOT_HALF, _ROOT_TWO = _f32(0.5**0.5), _f32(2.0**0.5)
_UNIT = _f32(2.0**-24)
_LARGEST_UNIFORM = _f32(1.0 - 2.0**-24)
_ROUNDS = tuple(_u32(value % 2**32) for value in (ROUND_A, ROUND_B, ROUND_C))


def _floats(*values: float) -> tuple[np.float32, ...]:
    return tuple(map(np.float32, values))


_EXP = _floats(
    1.98756915e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 0.16666665459, 0.50000001201
)  # fmt: skip
_LOG = _floats(
    7.0376836292e-2, -0.1151461031, 0.11676998740, -0.12420140846, 0.14249322787, -0.16668057665, 0.20000714765,
    -0.24999993993, 0.33333331174,
)  # fmt: skip
# The inverse of the error function in the middle and in the tails: Giles, Approximating the erfinv function (2012).
_MIDDLE = _floats(
    2.81022636e-8, 3.43273939e-7, -3.5233877e-6, -4.39150654e-6, 2.1858087e-4, -1.25372503e-3, -4.17768164e-3,
    0.246640727, 1.50140941,
)  # fmt: skip
_TAILS = _floats(
    -2.00214257e-4, 1.00950558e-4, 1.34934322e-3, -3.67342844e-3, 5.73950773e-3, -7.6224613e-3, 9.43887047e-3,
    1.00167406, 2.83297682,
)  # fmt: skip


def _reading(source: Any, target: Any) -> Any:
    """A function that reads the bits of one type as another."""

    @intrinsic
    def read(typing_context: Any, value: Any) -> tuple[Any, Callable[..., Any]]:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], context.get_value_type(target))

        return target(source), generate

    return read


_as_float = _reading(types.int32, types.float32)
_as_int = _reading(types.float32, types.int32)


def number(element: Any) -> Any:
    """An element of a matrix product as float32.

    The product is float32, or bfloat16 whose bits come as int16.
    """


# Without annotations: numba compares the parameters with those of the functions returned.
@overload(number, inline="always")
def _read_number(element):  # type: ignore[no-untyped-def]
    if element == types.int16:
        return lambda element: _as_float(_i32(_i32(element) << _i32(16)))
    return lambda element: element


@_inline
def rounded(x: Any) -> Any:
    """The nearest number of bfloat16, as float32; x is finite."""
    bits = _as_int(x)
    return _as_float(_i32(_i32(bits + _i32(0x7FFF) + ((bits >> _i32(16)) & _i32(1))) & _i32(-0x10000)))


@_inline
def _polynomial(coefficients: Any, x: Any) -> Any:
    """The highest power's coefficient first."""
    value = coefficients[0]
    for k in range(1, len(coefficients)):
        value = value * x + coefficients[k]
    return value


@_inline
def exp(x: Any) -> Any:
    """e to x; beyond the normal numbers their least and very nearly their most."""
    x = min(max(x, _EXP_LEAST), _EXP_MOST)
    shifted = x * _LOG2_E + _ROUNDER
    whole = shifted - _ROUNDER
    rest = x - whole * _LN2_HIGH - whole * _LN2_LOW
    value = _polynomial(_EXP, rest) * (rest * rest) + rest + ONE
    return value * _as_float(_i32((_as_int(shifted) << _i32(23)) + _i32(0x3F800000)))


@_inline
def gated_tanh(gate: Any, x: Any) -> Any:
    """sigmoid(gate) tanh(-x / 2), with one division."""
    risen = exp(min(x, _TANH_FLAT))
    return (ONE - risen) / ((ONE + exp(-gate)) * (ONE + risen))


@_inline
def log(x: Any) -> Any:
    """The natural one, of a positive, normal number."""
    bits = _as_int(x)
    exponent = _f32(_i32((bits >> _i32(23)) - _i32(126)))
    fraction = _as_float(_i32((bits & _i32(0x007FFFFF)) | _i32(0x3F000000)))  # in [0.5, 1)
    small = fraction < _ROOT_HALF
    exponent = exponent - ONE if small else exponent
    rest = fraction + fraction - ONE if small else fraction - ONE
    square = rest * rest
    value = rest * square * _polynomial(_LOG, rest) + exponent * _LN2_LOW - _HALF * square
    return rest + value + exponent * _LN2_HIGH


@_inline
def uniform(first_key: Any, second_key: Any, counter: Any) -> Any:
    """As :func:`dreamgym.dream.noise.uniforms`, to the bit."""
    bits = _u32(counter ^ first_key)
    bits = _u32(_u32(bits ^ _u32(bits >> _u32(17))) * _ROUNDS[0])
    bits = _u32(bits ^ second_key)
    bits = _u32(_u32(bits ^ _u32(bits >> _u32(11))) * _ROUNDS[1])
    bits = _u32(_u32(bits ^ _u32(bits >> _u32(15))) * _ROUNDS[2])
    bits = _u32(bits ^ _u32(bits >> _u32(14)))
    return _f32(_i32(_u32(bits >> _u32(8)))) * _UNIT


@_inline
def normal(uniform: Any) -> Any:
    """As :func:`dreamgym.dream.noise.normals`."""
    x = TWO * uniform - _LARGEST_UNIFORM
    w = -log((ONE - x) * (ONE + x))
    middle = _polynomial(_MIDDLE, w - _f32(2.5))
    tails = _polynomial(_TAILS, np.sqrt(w) - _f32(3.0))
    return _ROOT_TWO * x * (middle if w < _f32(5.0) else tails)
