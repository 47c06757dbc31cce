"""Pack a stream: items arrive one by one, bins leave when they are full, and only a small buffer of items is kept.

Every bin contains the item that has waited longest. The rest of the bin is filled as exactly as the buffered items
allow, preferring those that have waited longest. A bin closes as soon as the buffer holds `buffer_size` items and two
bins' worth of length, so there are several items to choose from for each place, however short they are.

Items longer than half a bin need a bin each, and few items fit next to them. While at least half of the coming bins
will need such an item, the buffer is a window of first-fit decreasing: a bin begins with the longest item, unless four
times `buffer_size` bins have closed while the oldest item waited.

The trade-off: a larger buffer fills bins better and delays items for longer. With 64 captions it already reaches the
lower bound of packing all captions at once. Texts that are longer than half a bin need a larger one.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, SupportsIndex

from oqvl_pack.binpacking.arguments import whole_number
from oqvl_pack.binpacking.exact_fill import MAX_CAPACITY
from oqvl_pack.binpacking.subset_sum import largest_sum
from oqvl_shards.errors import ConfigError, DataError, OqvlError

_STATE_VERSION = 1
_PATIENCE = 4  # buffers' worth of bins that an item waits while longer ones go first


class _Waiting(NamedTuple):
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
    """Packs items as they arrive.

    With `max_age`, every item leaves before `max_age` more items have been pushed, if necessary in a bin that is not
    full. Without it, an item leaves within four times `buffer_size` bins, plus one bin for each item that was there
    before it. The bins depend only on the items and the arguments, even if the packer was stopped and resumed in
    between.

    Args:
        capacity: Length that a bin holds; up to 2^24.
        buffer_size: Number of items in the buffer. It holds more if these together are shorter than two bins.
        max_age: Number of items that may be pushed while an item waits; 0 for no limit.

    Raises:
        ConfigError: If an argument is out of range.

    Example:
        ```python
        packer = StreamingPacker(capacity=10, buffer_size=1)
        assert list(packer.pack([("a", 6), ("b", 3), ("c", 4), ("d", 7)])) == [["b", "d"], ["a", "c"]]
        ```
    """

    def __init__(self, capacity: SupportsIndex, *, buffer_size: SupportsIndex = 64, max_age: SupportsIndex = 0) -> None:
        self.capacity = whole_number("capacity", capacity, 1, MAX_CAPACITY)
        self.buffer_size = whole_number("buffer_size", buffer_size, 1)
        self.max_age = whole_number("max_age", max_age, 0)
        self.num_items = 0
        self.num_bins = 0
        self.num_tokens = 0
        self._buffer: list[_Waiting] = []  # by position
        self._buffered_length = 0

    @property
    def num_buffered(self) -> int:
        """Number of items that were pushed and have not left."""
        return len(self._buffer)

    @property
    def utilization(self) -> float:
        """Packing efficiency: the filled share of the capacity of all bins so far; 1.0 for no bins."""
        return self.num_tokens / (self.num_bins * self.capacity) if self.num_bins else 1.0

    def push(self, item: Any, length: SupportsIndex) -> Iterator[list[Any]]:
        """Add an item, and yield the bins that close, as lists of items.

        The item is added immediately. A bin leaves the buffer when the caller asks for it.

        Args:
            item: Anything; numbers and strings keep `state_dict` plain.
            length: Its length, from 1 to `capacity`.

        Raises:
            DataError: If the length is out of range.
        """
        waiting = _Waiting(item, self._checked(length), self.num_items, self.num_bins)
        self._buffer.append(waiting)
        self._buffered_length += waiting.length
        self.num_items += 1
        return self._closed_bins()

    def flush(self) -> Iterator[list[Any]]:
        """Yield the bins of all remaining items; afterwards the buffer is empty."""
        while self._buffer:
            yield self._close_bin()

    def pack(self, items: Iterable[tuple[Any, SupportsIndex]]) -> Iterator[list[Any]]:
        """Yield the bins of a whole stream of (item, length), including those of the last items."""
        for item, length in items:
            yield from self.push(item, length)
        yield from self.flush()

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain lists, numbers and the items themselves: JSON, if the items are."""
        return {
            "version": _STATE_VERSION,
            "capacity": self.capacity,
            "buffer_size": self.buffer_size,
            "max_age": self.max_age,
            "num_items": self.num_items,
            "num_bins": self.num_bins,
            "num_tokens": self.num_tokens,
            "buffer": [list(waiting) for waiting in self._buffer],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned: the next bins are those of a packer that never stopped.

        Raises:
            ConfigError: If the state has another version, belongs to a packer with other arguments, or is damaged. The
                packer does not change in that case.
        """
        expected = {**self.state_dict(), "version": _STATE_VERSION}
        for name in ("version", "capacity", "buffer_size", "max_age"):
            if state.get(name) != expected[name]:
                raise ConfigError(
                    f"the state has {name} {state.get(name)}, expected {expected[name]}",
                    hint="resume with the arguments of the packer that was stopped",
                )
        try:
            counts = [whole_number(name, state[name], 0) for name in ("num_items", "num_bins", "num_tokens")]
            buffer = [
                _Waiting(
                    item, self._checked(length), whole_number("position", position, 0), whole_number("bin", closed, 0)
                )
                for item, length, position, closed in state["buffer"]
            ]
        except (KeyError, TypeError, ValueError, OqvlError) as error:
            raise ConfigError(
                f"the state is damaged: {error!r}", hint="pass what state_dict returned, unchanged"
            ) from error
        self.num_items, self.num_bins, self.num_tokens = counts
        self._buffer, self._buffered_length = buffer, sum(waiting.length for waiting in buffer)

    def _checked(self, length: SupportsIndex) -> int:
        try:
            number = operator.index(length)
        except TypeError:
            number = 0
        if not 1 <= number <= self.capacity:
            raise DataError(
                f"item {self.num_items} has length {number or repr(length)}, expected 1 to {self.capacity}",
                hint="raise the capacity, or shorten, split or drop the item before pushing it",
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
        """Fill one bin around its first item, and remove its items from the buffer."""
        seed = self._seed()
        room = self.capacity - self._buffer[seed].length
        # The other items that fill the rest best, preferring those that have waited longest.
        others = [index for index in range(len(self._buffer)) if index != seed]
        chosen = {seed, *(others[i] for i in largest_sum([self._buffer[index].length for index in others], room))}
        members = [waiting for index, waiting in enumerate(self._buffer) if index in chosen]
        self._buffer = [waiting for index, waiting in enumerate(self._buffer) if index not in chosen]
        length = sum(waiting.length for waiting in members)
        self._buffered_length -= length
        self.num_tokens += length
        self.num_bins += 1
        return [waiting.item for waiting in members]

    def _seed(self) -> int:
        """Return the index of the item that the next bin is built around."""
        large = [index for index, waiting in enumerate(self._buffer) if 2 * waiting.length > self.capacity]
        has_waited = self.num_bins - self._buffer[0].bin >= _PATIENCE * self.buffer_size
        if self._is_due() or has_waited or 2 * len(large) * self.capacity < self._buffered_length:
            return 0
        return max(large, key=lambda index: (self._buffer[index].length, -index))
