from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from oqvl_model.conversion.key_map import Rule, map_keys
from oqvl_model.conversion.tensor_files import StoredTensor
from oqvl_shards.errors import DataError

RULES = [
    Rule(r"old\.(\d)\.both", (r"new.\1.first", r"new.\1.second"), lambda tensor: tensor.chunk(2)),
    Rule(r"old\.(.+)", (r"new.\1",)),
    Rule(r"more\..+", reason="not needed"),
]


def stored(tensor: Tensor) -> StoredTensor:
    return StoredTensor(tuple(tensor.shape), tensor.dtype, lambda: tensor)


def mapped(state: dict[str, Tensor], expected: dict[str, tuple[int, ...]]) -> Any:
    return map_keys({key: stored(tensor) for key, tensor in state.items()}, RULES, expected, "the source")


def test_keys_are_mapped_split_or_left_out():
    state = {"old.0.both": torch.arange(4.0), "old.w": torch.ones(3), "more.x": torch.ones(1)}
    keys = mapped(state, {"new.0.first": (2,), "new.0.second": (2,), "new.w": (3,)})
    assert keys.mapped == {"old.0.both": ("new.0.first", "new.0.second"), "old.w": ("new.w",)}
    assert keys.unused == {"more.x": "not needed"}
    assert keys.weights["new.0.second"].read().tolist() == [2, 3]
    assert keys.weights["new.w"].source == "old.w"


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"old.w": torch.ones(3), "new.w": torch.ones(3)}, r"keys that no rule knows \(1\): new.w$"),
        ({"old.w": torch.ones(3), "old.v": torch.ones(3)}, r"keys that no rule knows \(1\): old.v$"),
        ({"more.x": torch.ones(3)}, r"no keys for these weights \(1\): new.w$"),
        ({"old.w": torch.ones(3), "old.0.both": torch.ones(())}, r"old.0.both has shape \(\), but new.0.first needs"),
        ({"old.w": torch.ones(2)}, r"old.w has shape \(2,\), but new.w needs \(3,\)"),
    ],
)
def test_what_does_not_fit_is_named(state, message):
    with pytest.raises(DataError) as caught:
        halves: dict[str, tuple[int, ...]] = {
            f"new.0.{name}": (2,) for name in ("first", "second") if "old.0.both" in state
        }
        mapped(state, {"new.w": (3,), **halves})
    assert caught.match(message.removesuffix("$"))


def test_two_keys_for_one_weight_are_refused():
    rules = [Rule("[ab]", ("w",))]
    with pytest.raises(DataError, match="b and a both give w"):
        map_keys({"a": stored(torch.ones(1)), "b": stored(torch.ones(1))}, rules, {"w": (1,)}, "the source")


def test_many_names_are_cut():
    with pytest.raises(DataError, match=r"\(30\): .*x19 and 10 more"):
        mapped({f"x{number:02}": torch.ones(1) for number in range(30)}, {})
