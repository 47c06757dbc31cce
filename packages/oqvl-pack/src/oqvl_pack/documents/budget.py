"""Meet a budget of tokens with whole documents, exactly if the documents allow it.

Documents are taken in a given order while they fit. Then the last of them are reconsidered together with documents that
follow. Of all sums that these can make, the largest within the budget is taken, with the earliest documents that make
it. A few dozen documents of different lengths can make almost every sum, so a token is rarely missing.

The trade-off: reconsidering more documents costs memory (a sum is a bit, and each document keeps a copy of all sums),
and makes the choice depend more on the lengths of other documents.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.binpacking.subset_sum import largest_sum

_NUM_RECONSIDERED = 64  # of the documents that fit; this many make sums without gaps
_WINDOW = 320  # documents considered, including those
_MAX_ROOM = 1 << 20  # most tokens to give back


def fill_budget(lengths: NDArray[np.integer], budget: int) -> NDArray[np.bool_]:
    """Choose documents that come as close to `budget` as possible without exceeding it.

    Every document that still fits is taken. For up to 64 documents, the sum is the largest possible.

    Args:
        lengths: [D] in tokens, each at least 1, in the order in which documents are preferred.
        budget: Tokens, at least 0.

    Returns:
        bool [D], whether each document is chosen.
    """
    # Take documents in order while they fit, and give back the last of them.
    ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    num_fitting = int(np.searchsorted(ends, budget, side="right")) - 1
    begin = max(0, num_fitting - _NUM_RECONSIDERED, int(np.searchsorted(ends, budget - _MAX_ROOM)))
    begin = min(begin, num_fitting)
    is_chosen = np.arange(len(lengths)) < begin
    # Take the largest sum that these and the documents after them can make.
    chosen = largest_sum(lengths[begin : begin + _WINDOW].tolist(), budget - int(ends[begin]))
    is_chosen[[begin + index for index in chosen]] = True
    # Fill the remaining budget with later documents, the earliest first.
    missing = budget - int(lengths[is_chosen].sum(dtype=np.int64))
    later = np.arange(begin + _WINDOW, len(lengths))
    while len(later := later[lengths[later] <= missing]):
        is_chosen[later[0]] = True
        missing -= int(lengths[later[0]])
        later = later[1:]
    return is_chosen
