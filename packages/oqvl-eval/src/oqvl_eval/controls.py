"""Control runs: what does a model answer if the pictures say nothing about the question?

A benchmark measures vision only to the extent that the score drops when every item shows the pictures of other items
(`shuffled`) or plain grey ones (`blank`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from oqvl_eval.benchmark import Benchmark, decode_picture
from oqvl_eval.config import ImageCondition
from oqvl_shards.errors import ConfigError

BLANK_RGB = (127, 127, 127)
"""Mid-grey, which is close to zero after the usual scaling to [-1, 1]."""


@dataclass(frozen=True)
class Slot:
    """One picture of one item.

    Args:
        row: The item's row in the benchmark.
        position: Index of the picture among the item's pictures, in the order of its segments.
    """

    row: int
    position: int


class Pictures:
    """The pictures that an evaluation shows with each item.

    Args:
        benchmark: The benchmark.
        condition: `given`, `shuffled` or `blank`.
        seed: Seed of the shuffling. It has no effect under the other conditions.

    Raises:
        ConfigError: If `condition` needs pictures and there are none, or too few different ones to shuffle.
    """

    def __init__(self, benchmark: Benchmark, condition: ImageCondition, seed: int) -> None:
        if condition != "given" and not any(item.image_names for item in benchmark.items):
            raise ConfigError(
                f"images={condition}, but the benchmark {benchmark.task} is without pictures", hint="use images=given"
            )
        self._benchmark = benchmark
        self._is_blank = condition == "blank"
        self._source_of = shuffle_pictures(_digests(benchmark), seed) if condition == "shuffled" else {}

    def of_item(self, row: int) -> tuple[list[Image.Image], list[str]]:
        """Return the pictures to show with the item at `row`, in RGB, and a text per picture that identifies it."""
        slots = [Slot(row, position) for position in range(len(self._benchmark.items[row].image_names))]
        files = [self._file(self._source_of.get(slot, slot)) for slot in slots]
        where = f"item {self._benchmark.items[row].item_id!r}"
        pictures = [decode_picture(file, where) for file in files]
        if self._is_blank:
            pictures = [Image.new("RGB", picture.size, BLANK_RGB) for picture in pictures]
            return pictures, [f"blank {picture.width}x{picture.height}" for picture in pictures]
        return pictures, [hashlib.sha256(file).hexdigest() for file in files]

    def _file(self, slot: Slot) -> bytes:
        return self._benchmark.image_bytes(slot.row)[slot.position]


def _digests(benchmark: Benchmark) -> list[list[bytes]]:
    rows = range(len(benchmark.items))
    return [[hashlib.sha256(file).digest() for file in benchmark.image_bytes(row)] for row in rows]


def shuffle_pictures(shown: Sequence[Sequence[bytes]], seed: int) -> dict[Slot, Slot]:
    """Give every slot the picture of another slot: a seeded derangement.

    Items that share a picture, directly or through other items, form a group. No item gets a picture of its own group:
    the same photograph under another question could still answer it.

    The slots are lined up group by group, in random order, and the pictures are shifted by the size of the largest
    group. Every picture then leaves its group, provided that the largest group has at most half of all slots.

    Args:
        shown: For each item, a digest of each of its pictures.
        seed: Seed of numpy's default generator.

    Returns:
        For each slot, the slot whose picture it gets. Empty if there are no pictures.

    Raises:
        ConfigError: If more than half of the pictures belong to one group.
    """
    groups = _groups_of_slots(shown)
    rng = np.random.default_rng(seed)
    slots = [slot for index in rng.permutation(len(groups)) for slot in _permuted(groups[index], rng)]
    shift = max(map(len, groups), default=0)
    if 2 * shift > len(slots):
        raise ConfigError(
            f"images=shuffled needs more different pictures: {shift} of {len(slots)} belong to items that share one",
            hint="use images=blank",
        )
    return {slot: slots[(index + shift) % len(slots)] for index, slot in enumerate(slots)}


def _permuted(group: list[Slot], rng: np.random.Generator) -> list[Slot]:
    return [group[index] for index in rng.permutation(len(group))]


def _groups_of_slots(shown: Sequence[Sequence[bytes]]) -> list[list[Slot]]:
    """Return one list of slots per group of items that share pictures, in order of appearance (union-find)."""
    parent = list(range(len(shown)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first_row_with: dict[bytes, int] = {}
    for row, pictures in enumerate(shown):
        for picture in pictures:
            parent[root(row)] = root(first_row_with.setdefault(picture, row))
    groups: dict[int, list[Slot]] = {}
    for row, pictures in enumerate(shown):
        groups.setdefault(root(row), []).extend(Slot(row, position) for position in range(len(pictures)))
    return list(groups.values())
