"""A budget of tokens, met by whole documents: to the token wherever the documents allow it.

Documents are taken in a given order while they fit. The last of them are then considered once more, together with as
many that follow: of all sums that these can make (a subset sum over a big integer) the
largest within the budget is taken, in the earliest documents that make it. A few dozen documents of different lengths
make every sum, so that seldom a token is missing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_NUM_RECONSIDERED = 64  # of the documents that fit; so many make sums without a hole
_WINDOW = 320  # documents considered, those included
_MAX_ROOM = 1 << 20  # tokens that are given away again at most: a sum is a bit, and each document keeps a copy of all


def fill_budget(lengths: NDArray[np.integer], budget: int) -> NDArray[np.bool_]:
    """Choose documents that come as close to `budget` as can be without exceeding it.

    Nothing is left out that still fits. Among up to 64 documents the sum is the largest there is.

    Args:
        lengths: [D] in tokens, in the order in which documents are preferred, each at least 1.
        budget: Tokens, at least 0.

    Returns:
        bool [D], whether each document is chosen.
    """
    ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    num_fitting = int(np.searchsorted(ends, budget, side="right")) - 1
    begin = max(0, num_fitting - _NUM_RECONSIDERED, int(np.searchsorted(ends, budget - _MAX_ROOM)))
    begin = min(begin, num_fitting)
    is_chosen = np.arange(len(lengths)) < begin
    chosen = _largest_sum(lengths[begin : begin + _WINDOW].tolist(), budget - int(ends[begin]))
    is_chosen[[begin + index for index in chosen]] = True
    missing = budget - int(lengths[is_chosen].sum(dtype=np.int64))
    behind = np.arange(begin + _WINDOW, len(lengths))
    while len(behind := behind[lengths[behind] <= missing]):
        is_chosen[behind[0]] = True
        missing -= int(lengths[behind[0]])
        behind = behind[1:]
    return is_chosen


def _largest_sum(lengths: list[int], room: int) -> list[int]:
    """Return the indices of lengths with the largest sum up to `room`, early ones preferred."""
    within = (1 << (room + 1)) - 1
    reachable = 1
    before: list[int] = []
    for length in lengths:
        before.append(reachable)
        reachable |= (reachable << length) & within if length <= room else 0
        if reachable >> room:
            break
    left = reachable.bit_length() - 1
    chosen = []
    for index in reversed(range(len(before))):
        if not before[index] >> left & 1:
            chosen.append(index)
            left -= lengths[index]
    return chosen
