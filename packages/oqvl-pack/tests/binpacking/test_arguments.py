"""Integers that callers pass: any integer type, within bounds, by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from oqvl_pack.binpacking.arguments import MAX_TOTAL, integer, whole_number
from oqvl_shards.errors import ConfigError


@pytest.mark.parametrize("value", [7, np.int8(7), np.uint64(7), np.array(7)])
def test_integers_of_any_type_become_an_int(value: Any) -> None:
    assert (integer("seed", value), type(whole_number("size", value, 1))) == (7, int)


@pytest.mark.parametrize("value", [7.0, "7", None, float("nan"), [7]])
def test_what_is_no_integer(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"^size is .*, expected an integer$"):
        whole_number("size", value, 1)


def test_bounds() -> None:
    assert integer("seed", -(1 << 80)) == -(1 << 80)
    assert whole_number("size", MAX_TOTAL - 1, 1) == MAX_TOTAL - 1
    with pytest.raises(ConfigError, match="size is 0, expected at least 1"):
        whole_number("size", 0, 1)
    with pytest.raises(ConfigError, match="size is 9, expected at most 8"):
        whole_number("size", 9, 1, 8)
    with pytest.raises(ConfigError, match=f"expected at most {MAX_TOTAL - 1}"):
        whole_number("size", MAX_TOTAL, 1)
