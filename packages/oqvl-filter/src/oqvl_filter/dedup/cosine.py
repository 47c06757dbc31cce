"""All pairs of vectors with a high cosine, exactly: matrix products of one block at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from oqvl_shards.errors import ConfigError


def unit_rows(vectors_ND: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the rows scaled to length 1, in float32; a row of zeros stays one and is near nothing."""
    rows_ND = vectors_ND.astype(np.float32)
    lengths_N = np.linalg.norm(rows_ND, axis=1, keepdims=True)
    return (rows_ND / np.where(lengths_N > 0, lengths_N, 1)).astype(np.float32)


class ExactSearch:
    """The `NeighbourSearch` that compares all pairs; its time grows with the square of the number of rows.

    Args:
        block_size: Rows per block; the product of two blocks of 4096 rows takes 64 MiB.

    Raises:
        ConfigError: If a block would have no row.
    """

    def __init__(self, block_size: int = 4096) -> None:
        if not isinstance(block_size, int) or block_size < 1:
            raise ConfigError(f"search_options.block_size={block_size!r}, expected a whole number of rows, at least 1")
        self.block_size = block_size

    def pairs(
        self, left_ND: NDArray[np.float32], right_MD: NDArray[np.float32], min_cosine: float
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Yield every pair with a cosine of at least `min_cosine`, in arrays; see `NeighbourSearch.pairs`."""
        block = self.block_size
        for left in range(0, len(left_ND), block):
            # Within one set the other half of the products would give the same pairs in reverse.
            for right in range(left if right_MD is left_ND else 0, len(right_MD), block):
                cosines = left_ND[left : left + block] @ right_MD[right : right + block].T
                rows, columns = np.nonzero(cosines >= min_cosine)
                yield rows + left, columns + right
