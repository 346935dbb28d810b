"""Infos of single environments from those of a vector environment."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np

__all__ = ["has_rows", "info_rows", "split_rows"]


def has_rows(value: Any, num_envs: int) -> bool:
    """Whether a value is an array or a tensor with a row for each environment."""
    if not hasattr(value, "__array__"):  # a space has a shape, too
        return False
    shape = np.shape(value)
    return len(shape) > 0 and shape[0] == num_envs


def split_rows(value: Any, num_envs: int) -> list[Any]:
    """The value of each environment.

    Copies of the rows of an array or a tensor that has one for each; else the same value for all.
    """
    return list(np.array(value)) if has_rows(value, num_envs) else [value] * num_envs


def info_rows(infos: dict[str, Any], num_envs: int) -> list[dict[str, Any]]:
    """A dict of copies for each environment, from Gymnasium's vector infos.

    In these, ``_key`` says which environments have ``key``.

    ``final_obs`` and ``final_info`` are left out.
    """
    rows: list[dict[str, Any]] = [{} for _ in range(num_envs)]
    for key, values in infos.items():
        if key in ("final_obs", "final_info") or (key.startswith("_") and key[1:] in infos):
            continue
        present = np.asarray(infos.get(f"_{key}", True))
        everywhere = bool(present.all())
        if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype != object:
            numbers = values.tolist()  # Python's, as from single environments; copies, and for all at once
            if everywhere:  # the usual case, a thousand environments a step
                for row, number in zip(rows, numbers, strict=True):
                    row[key] = number
                continue
            split = numbers
        else:
            split = info_rows(values, num_envs) if isinstance(values, dict) else values
        for index in range(num_envs) if everywhere else np.flatnonzero(present).tolist():
            rows[index][key] = deepcopy(split[index])
    return rows
