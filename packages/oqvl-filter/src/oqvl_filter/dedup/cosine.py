"""All pairs of vectors with a high cosine, exactly: a product of matrices a block at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK = 4096
"""Rows of a block: a product of two of them is 64 MiB."""


def unit_rows(vectors_ND: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the rows at length 1, in float32; a row of zeros stays one, and is near to nothing."""
    rows_ND = vectors_ND.astype(np.float32)
    lengths_N = np.linalg.norm(rows_ND, axis=1, keepdims=True)
    return (rows_ND / np.where(lengths_N > 0, lengths_N, 1)).astype(np.float32)


def similar_pairs(
    left_ND: NDArray[np.float32], right_MD: NDArray[np.float32], min_cosine: float
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield arrays of pairs (row of `left_ND`, row of `right_MD`) with a cosine of at least `min_cosine`.

    Args:
        left_ND: Rows of length 1.
        right_MD: Rows of length 1.
        min_cosine: The bound.
    """
    for left in range(0, len(left_ND), BLOCK):
        for right in range(0, len(right_MD), BLOCK):
            cosines = left_ND[left : left + BLOCK] @ right_MD[right : right + BLOCK].T
            rows, columns = np.nonzero(cosines >= min_cosine)
            yield rows + left, columns + right
