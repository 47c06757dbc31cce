"""Check the integers that callers pass: numpy's integers are accepted, floats are not."""

from __future__ import annotations

import operator
from typing import SupportsIndex

from oqvl_shards.errors import ConfigError

MAX_TOTAL = 1 << 62
"""Capacities, and sums of lengths or weights, stay below this number, so every intermediate result fits in 64 bits."""


def integer(name: str, value: SupportsIndex) -> int:
    """Return `value` as an int.

    Raises:
        ConfigError: If it is not an integer.
    """
    try:
        return operator.index(value)
    except TypeError as error:
        raise ConfigError(f"{name} is {value!r}, expected an integer") from error


def whole_number(name: str, value: SupportsIndex, least: int, most: int = MAX_TOTAL - 1) -> int:
    """Return `value` as an int from `least` to `most`.

    Raises:
        ConfigError: If it is not an integer, is below `least` or is above `most`.
    """
    number = integer(name, value)
    if number < least:
        raise ConfigError(f"{name} is {number}, expected at least {least}")
    if number > most:
        raise ConfigError(f"{name} is {number}, expected at most {most}", hint="count in a larger unit")
    return number
