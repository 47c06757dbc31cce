"""Packing a stream: items arrive one by one, bins leave full, and only a small buffer of items is kept.

Every bin contains the item that has waited longest; the rest of the bin is filled as exactly as the buffered items
can, the longest waiting preferred. A bin closes as soon as the buffer holds `buffer_size` items and two bins' worth of
length, so the choice is among several items for each place, however short they are.

Items longer than half a bin need a bin each, and what is left of it suits few: while such items make up half of the
bins to come or more, the buffer is a window of first-fit decreasing: a bin begins with the longest item, unless the one
that has waited longest has seen four times `buffer_size` bins go by.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, SupportsIndex

from oqvl_pack.binpacking.arguments import whole_number
from oqvl_pack.binpacking.exact_fill import MAX_CAPACITY
from oqvl_shards.errors import ConfigError, DataError, OqvlError

STATE_VERSION = 1
_PATIENCE = 4  # buffers' worth of bins that an item waits while longer ones go first


class Waiting(NamedTuple):
    """An item in the buffer.

    Args:
        item: What was pushed.
        length: Its length.
        position: How many items were pushed before it.
        bin: How many bins had closed before it.
    """

    item: Any
    length: int
    position: int
    bin: int


class StreamingPacker:
    """Packs items as they come.

    With `max_age`, every item leaves at the latest when so many more have been pushed, if need be in a bin that is not
    full. Without, an item leaves within four times `buffer_size` bins and one for each item that was there before
    it. The bins depend on the items and the arguments alone, also when the packer was stopped and resumed in between.

    Args:
        capacity: What a bin holds at most, in the unit of the lengths; up to 2^24.
        buffer_size: Items that the buffer holds, unless they are shorter than two bins together.
        max_age: Items that may be pushed after an item while it waits; 0 for any number.

    Raises:
        ConfigError: When an argument is out of range.
    """

    def __init__(self, capacity: SupportsIndex, *, buffer_size: SupportsIndex = 64, max_age: SupportsIndex = 0) -> None:
        self.capacity = whole_number("capacity", capacity, 1, MAX_CAPACITY)
        self.buffer_size = whole_number("buffer_size", buffer_size, 1)
        self.max_age = whole_number("max_age", max_age, 0)
        self.num_items = 0
        self.num_bins = 0
        self.num_tokens = 0
        self._buffer: list[Waiting] = []  # by position
        self._buffered_length = 0

    @property
    def num_buffered(self) -> int:
        """Items that were pushed and have not left."""
        return len(self._buffer)

    @property
    def utilization(self) -> float:
        """Packing efficiency: the share of the capacity of all bins so far that is filled; 1.0 for no bins."""
        return self.num_tokens / (self.num_bins * self.capacity) if self.num_bins else 1.0

    def push(self, item: Any, length: SupportsIndex) -> Iterator[list[Any]]:
        """Take an item in, and yield the bins that close, as lists of items.

        The item is taken in at once; a bin leaves the buffer when it is asked for.

        Args:
            item: Anything; numbers and strings keep `state_dict` plain.
            length: Its length, from 1 to `capacity`.

        Raises:
            DataError: When the length is out of range.
        """
        waiting = Waiting(item, self._checked(length), self.num_items, self.num_bins)
        self._buffer.append(waiting)
        self._buffered_length += waiting.length
        self.num_items += 1
        return self._closed_bins()

    def flush(self) -> Iterator[list[Any]]:
        """Yield the bins of all items that are left; after it the buffer is empty."""
        while self._buffer:
            yield self._close_bin()

    def pack(self, items: Iterable[tuple[Any, SupportsIndex]]) -> Iterator[list[Any]]:
        """Yield the bins of a whole stream of (item, length), those of the last items included."""
        for item, length in items:
            yield from self.push(item, length)
        yield from self.flush()

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain lists, numbers and the items themselves: JSON, if the items are."""
        return {
            "version": STATE_VERSION,
            "capacity": self.capacity,
            "buffer_size": self.buffer_size,
            "max_age": self.max_age,
            "num_items": self.num_items,
            "num_bins": self.num_bins,
            "num_tokens": self.num_tokens,
            "buffer": [list(waiting) for waiting in self._buffer],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned: the bins that follow are those of the packer that never stopped.

        Raises:
            ConfigError: When the state is of another version, of a packer with other arguments, or damaged; the packer
                then stays as it was.
        """
        expected = {**self.state_dict(), "version": STATE_VERSION}
        for name in ("version", "capacity", "buffer_size", "max_age"):
            if state.get(name) != expected[name]:
                raise ConfigError(
                    f"the state has {name} {state.get(name)}, expected {expected[name]}",
                    hint="resume with the arguments of the packer that was stopped",
                )
        try:
            counts = [whole_number(name, state[name], 0) for name in ("num_items", "num_bins", "num_tokens")]
            buffer = [Waiting(*waiting) for waiting in state["buffer"]]
            lengths = [self._checked(waiting.length) for waiting in buffer]
        except (KeyError, TypeError, OqvlError) as error:
            raise ConfigError(f"the state is damaged: {error!r}", hint="it must be what state_dict returned") from error
        self.num_items, self.num_bins, self.num_tokens = counts
        self._buffer, self._buffered_length = buffer, sum(lengths)

    def _checked(self, length: SupportsIndex) -> int:
        try:
            number = operator.index(length)
        except TypeError:
            number = 0
        if not 1 <= number <= self.capacity:
            raise DataError(
                f"item {self.num_items} has length {number or repr(length)}, expected 1 to {self.capacity}",
                hint="raise the capacity, or shorten, split or drop the item before it is pushed",
            )
        return number

    def _closed_bins(self) -> Iterator[list[Any]]:
        while self._must_close():
            yield self._close_bin()

    def _must_close(self) -> bool:
        if not self._buffer:
            return False
        is_full = len(self._buffer) >= self.buffer_size and self._buffered_length >= 2 * self.capacity
        return is_full or self._is_due()

    def _is_due(self) -> bool:
        """Whether the item that has waited longest must leave now."""
        return bool(self.max_age) and self.num_items - self._buffer[0].position > self.max_age

    def _close_bin(self) -> list[Any]:
        seed = self._seed()
        chosen = {seed, *_fullest(self._buffer, seed, self.capacity)}
        items = [waiting for index, waiting in enumerate(self._buffer) if index in chosen]
        self._buffer = [waiting for index, waiting in enumerate(self._buffer) if index not in chosen]
        length = sum(waiting.length for waiting in items)
        self._buffered_length -= length
        self.num_tokens += length
        self.num_bins += 1
        return [waiting.item for waiting in items]

    def _seed(self) -> int:
        """Index of the item that the next bin is built around."""
        large = [index for index, waiting in enumerate(self._buffer) if 2 * waiting.length > self.capacity]
        has_waited = self.num_bins - self._buffer[0].bin >= _PATIENCE * self.buffer_size
        if self._is_due() or has_waited or 2 * len(large) * self.capacity < self._buffered_length:
            return 0
        return max(large, key=lambda index: (self._buffer[index].length, -index))


def _fullest(buffer: list[Waiting], seed: int, capacity: int) -> list[int]:
    """Return which items fill up the bin of item `seed` best, the first ones preferred."""
    room = capacity - buffer[seed].length
    within = (1 << (room + 1)) - 1
    reachable = 1
    before: list[tuple[int, int]] = []
    for index, waiting in enumerate(buffer):
        if index != seed and waiting.length <= room:
            before.append((index, reachable))
            reachable |= (reachable << waiting.length) & within
            if reachable >> room:
                break
    fill = reachable.bit_length() - 1
    chosen = []
    for index, reachable_before in reversed(before):
        if not reachable_before >> fill & 1:
            chosen.append(index)
            fill -= buffer[index].length
    return chosen
