"""MetaCLIP's balancing: thins the pairs of frequent metadata entries and keeps all pairs of rare ones.

Algorithm 1 of Xu et al., 2023, "Demystifying CLIP Data", arXiv 2309.16671: an entry that occurs in `count` captions
keeps each of them with probability min(1, cap / count), independently of the others. A caption stays if one of its
entries keeps it. The draws are hashes of uid, entry and seed, so they do not depend on the order of samples.

Shape suffixes: N samples, R samples that take part, E (sample, entry) pairs.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from oqvl_filter.uid_array import hash_words
from oqvl_shards.errors import ConfigError

NO_ENTRY = "no entry of the metadata"
THINNED = "thinned by the balance"


def balance(
    entries: pa.Array, uid_hashes_N: NDArray[np.uint64], kept_N: NDArray[np.bool_], cap: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return masks [N] of the samples that the balance keeps, and of the samples that have an entry.

    Args:
        entries: [N] the entries of each caption as text: numbers separated by spaces; null or empty: none.
        uid_hashes_N: Seeded hashes of the uids.
        kept_N: Mask of the samples that take part.
        cap: The algorithm's parameter t.

    Raises:
        ConfigError: If `entries` holds anything else.
    """
    if not pa.types.is_string(entries.type):
        raise _not_entries(f"a column of type {entries.type}")
    # One row per (sample, entry) pair of the samples that take part.
    rows = np.flatnonzero(kept_N)
    lists = pc.call_function("split_pattern", [entries.fill_null("").take(pa.array(rows))], pc.SplitPatternOptions(" "))
    lengths_R = pc.call_function("list_value_length", [lists]).to_numpy()
    words = lists.flatten()
    owners_E = np.repeat(rows, lengths_R)
    is_entry = pc.call_function("not_equal", [words, pa.scalar("")]).to_numpy(zero_copy_only=False)
    try:
        numbers_E = words.filter(pa.array(is_entry)).cast(pa.uint64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise _not_entries(str(error)) from error
    owners_E = owners_E[is_entry]
    # Each entry keeps each of its captions with its own probability; the draw is a hash in [0, 1).
    _, places_E, counts = np.unique(numbers_E, return_inverse=True, return_counts=True)
    keep_probability_E = np.minimum(1.0, cap / counts[places_E]) if len(counts) else np.empty(0)
    draws_E = hash_words(uid_hashes_N[owners_E], numbers_E) * 2.0**-64
    stays_N = np.zeros_like(kept_N)
    stays_N[owners_E[draws_E < keep_probability_E]] = True
    has_entry_N = np.zeros_like(kept_N)
    has_entry_N[owners_E] = True
    return stays_N, has_entry_N


def _not_entries(found: str) -> ConfigError:
    return ConfigError(
        f"balance.column: found {found}, expected numbers of metadata entries with spaces between",
        hint="oqvl-filter score scorer.name=metadata writes such a column: entries",
    )
