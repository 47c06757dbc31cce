"""Map the keys of a source to the weights of a model. Every key is mapped or left out for a stated reason.

A key that no rule knows is an error, and so is a weight that no key gives: a conversion never guesses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from oqvl_model.conversion.tensor_files import StoredTensor
from oqvl_shards.errors import DataError

Change = Callable[[Tensor], Sequence[Tensor]]
"""Turns a source tensor into the weights that it holds, one per target of its rule."""

_NUM_NAMED = 20


def unchanged(tensor: Tensor) -> Sequence[Tensor]:
    """Return the tensor itself as the only weight."""
    return (tensor,)


@dataclass(frozen=True)
class Rule:
    r"""What becomes of the keys that match a pattern.

    Args:
        pattern: Regular expression of the whole key.
        targets: Names of the weights, with `\1` and so on for the pattern's groups; none if the keys are left out.
        change: Makes the weights of the tensor.
        reason: Why the keys are left out.
    """

    pattern: str
    targets: tuple[str, ...] = ()
    change: Change = unchanged
    reason: str = ""


@dataclass(frozen=True)
class Weight:
    """Where a weight comes from.

    Args:
        source: The key of the source.
        tensor: Its tensor.
        change: Makes the weights of the tensor.
        index: Which of them it is.
    """

    source: str
    tensor: StoredTensor
    change: Change
    index: int

    def has_shape(self, shape: tuple[int, ...]) -> bool:
        """Return whether the weight will have this shape, without reading the tensor."""
        try:
            changed = self.change(torch.empty(self.tensor.shape, dtype=self.tensor.dtype, device="meta"))
            return tuple(changed[self.index].shape) == shape
        except (IndexError, RuntimeError):  # the tensor has too few axes or rows for the change
            return False

    def read(self) -> Tensor:
        """Read the weight."""
        return self.change(self.tensor.read())[self.index]


@dataclass(frozen=True)
class KeyMap:
    """What becomes of every key.

    Args:
        weights: The weights of the model, by name.
        mapped: Names of the weights that each used key gives.
        unused: Reason for each key that is left out.
    """

    weights: Mapping[str, Weight]
    mapped: Mapping[str, tuple[str, ...]]
    unused: Mapping[str, str]


def map_keys(
    tensors: Mapping[str, StoredTensor], rules: Sequence[Rule], expected: Mapping[str, tuple[int, ...]], where: str
) -> KeyMap:
    """Map every key by the first rule that matches it.

    Args:
        tensors: The tensors of the source, by key.
        rules: The rules in order.
        expected: Shape of every weight of the model, by name.
        where: The source, for messages.

    Raises:
        DataError: If a key is unknown, a weight has no key or two keys, or a shape is not the expected one.
    """
    weights: dict[str, Weight] = {}
    mapped: dict[str, tuple[str, ...]] = {}
    unused: dict[str, str] = {}
    unknown, problems = [], []
    for key, tensor in tensors.items():
        rule, match = _find(rules, key)
        if rule is None or match is None:
            unknown.append(key)
            continue
        if not rule.targets:
            unused[key] = rule.reason
            continue
        names = tuple(match.expand(target) for target in rule.targets)
        if not expected.keys() >= set(names):
            unknown.append(key)
            continue
        mapped[key] = names
        for index, name in enumerate(names):
            weight = Weight(key, tensor, rule.change, index)
            if name in weights:
                problems.append(f"{key} and {weights[name].source} both give {name}")
            elif not weight.has_shape(expected[name]):
                problems.append(f"{key} has shape {tensor.shape}, but {name} needs {expected[name]}")
            weights[name] = weight
    missing = sorted(expected.keys() - weights.keys())
    _refuse(where, "keys that no rule knows", unknown)
    _refuse(where, "no keys for these weights", missing)
    _refuse(where, "keys that do not fit", problems)
    return KeyMap(weights, mapped, unused)


def _find(rules: Iterable[Rule], key: str) -> tuple[Rule | None, re.Match[str] | None]:
    for rule in rules:
        match = re.fullmatch(rule.pattern, key)
        if match:
            return rule, match
    return None, None


def _refuse(where: str, what: str, items: Sequence[str]) -> None:
    if items:
        more = f" and {len(items) - _NUM_NAMED:,} more" if len(items) > _NUM_NAMED else ""
        raise DataError(
            f"{where} has {what} ({len(items):,}): {', '.join(items[:_NUM_NAMED])}{more}",
            hint="the files must be whole and of the layout and sizes that their configuration states",
        )
