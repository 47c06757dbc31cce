"""The interface of a neighbour search: it finds pairs of vectors with a high cosine, exactly or with an index."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pairs = Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]]
"""Arrays of pairs: rows of the left set, and rows of the right set."""


class NeighbourSearch(Protocol):
    """Finds near pairs of two sets of vectors; a configuration binds it by its dotted path.

    The path and the options are in the lineage: the same path and options must give the same pairs, in any order.
    """

    def pairs(self, left_ND: NDArray[np.float32], right_MD: NDArray[np.float32], min_cosine: float) -> Pairs:
        """Yield arrays of pairs (row of `left_ND`, row of `right_MD`) with a cosine of at least `min_cosine`.

        An index may miss pairs but must not add any. If both are the same array, a pair may come in one direction or in
        both, and a row need not be paired with itself.

        Args:
            left_ND: Rows of length 1, or of zeros, which are near nothing.
            right_MD: The same.
            min_cosine: Minimum cosine, above 0.
        """
        ...
