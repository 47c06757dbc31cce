"""What a search for neighbours is: pairs of vectors with a high cosine, found exactly or by an index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from oqvl_filter.judges.judge import make_bound

Pairs = Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]]
"""Arrays of pairs: rows of the left set, and of the right one."""


class NeighbourSearch(Protocol):
    """Finds the pairs of two sets of vectors that are near; a configuration binds it by its dotted path.

    The path and the options are in the lineage: the same ones must give the same pairs, in any order.
    """

    def pairs(self, left_ND: NDArray[np.float32], right_MD: NDArray[np.float32], min_cosine: float) -> Pairs:
        """Yield arrays of pairs (row of `left_ND`, row of `right_MD`) with a cosine of at least `min_cosine`.

        An index may miss some; it gives no others. When both are one array, a pair may come in either direction or in
        both, and a row need not be paired with itself.

        Args:
            left_ND: Rows of length 1, or of zeros, which are near to nothing.
            right_MD: The same.
            min_cosine: The bound, above 0.
        """
        ...


def make_search(path: str, options: Mapping[str, Any]) -> NeighbourSearch:
    """Call the factory of a search at the dotted path `package.module:factory` with `options`.

    Raises:
        ConfigError: When there is no such factory, or it does not take the options.
    """
    return make_bound("search", path, options)
