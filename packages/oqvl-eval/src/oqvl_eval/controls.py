"""Control runs: what a model answers when the pictures say nothing about the question.

A benchmark measures sight only as far as its score falls when every item shows other items' pictures (`shuffled`) or
an even grey (`blank`).
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
"""Mid-grey: near zero after the usual scaling to [-1, 1]."""


@dataclass(frozen=True)
class Slot:
    """One picture of one item.

    Args:
        row: The item's row in the benchmark.
        position: Which of its pictures, in the order of its segments.
    """

    row: int
    position: int


class Pictures:
    """The pictures that an evaluation shows with each item.

    Args:
        benchmark: The benchmark.
        condition: `given`, `shuffled` or `blank`.
        seed: Decides the shuffling; without effect otherwise.

    Raises:
        ConfigError: When `condition` needs pictures and there are none, or too few different ones to shuffle.
    """

    def __init__(self, benchmark: Benchmark, condition: ImageCondition, seed: int) -> None:
        if condition != "given" and not any(item.image_names for item in benchmark.items):
            raise ConfigError(
                f"images={condition} with a benchmark without pictures ({benchmark.task})", hint="use images=given"
            )
        self._benchmark = benchmark
        self._is_blank = condition == "blank"
        self._source_of = shuffle_pictures(_digests(benchmark), seed) if condition == "shuffled" else {}

    def of_item(self, row: int) -> tuple[list[Image.Image], list[str]]:
        """Return the pictures to show with item `row` (RGB), and for each what identifies it."""
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
    """Deal every picture to a place that is not its own: a seeded derangement.

    No item gets a picture of its own, nor one of an item with which it shares a picture (directly or through others):
    the same photograph under another question would still answer it.

    The pictures are laid out group by group, in random order, and shifted by the size of the largest group: no picture
    can stay in its group exactly when that group is at most half of all.

    Args:
        shown: For each item what identifies its pictures (a digest of each).
        seed: Seed of numpy's default generator.

    Returns:
        For each place the place whose picture it gets; empty when there are no pictures.

    Raises:
        ConfigError: When more than half of the pictures belong to one group.
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
    """Return the places of items that hang together by shared pictures, one list a group, in order of appearance."""
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
