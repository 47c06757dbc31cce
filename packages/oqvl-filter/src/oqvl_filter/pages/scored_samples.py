"""What a page is about: the samples of pools, the columns of their scores, and what subsets keep of them.

N is the number of samples, in the order of `oqvl_filter.selection.candidates`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from oqvl_filter.pages.agreement import Mask, Values
from oqvl_filter.score_file import is_amount
from oqvl_filter.selection.candidates import Candidates, read_candidates
from oqvl_filter.subset import Subset
from oqvl_filter.uid_array import contains, format_words, hash_uids
from oqvl_shards.dataset import Dataset

DEDUP_COLUMNS = frozenset({"cluster", "cluster_size", "duplicate", "match", "nearness"})


@dataclass(frozen=True)
class ScoredSamples:
    """The samples of some pools, and which of them two selections keep.

    Args:
        candidates: The N samples.
        numbers: By `LABEL.COLUMN`: the values [N] of every numeric column, NaN where there is none.
        texts: By `LABEL.COLUMN`: the values [N] of every column of texts or hashes, null where there is none.
        selected: [N] what the subset keeps; all false without one.
        against: [N] what the subset that it is compared with keeps; all false without one.
        order: [N] the rows in the order of a hash of their uids, in which chance picks are taken.
    """

    candidates: Candidates
    numbers: Mapping[str, Values]
    texts: Mapping[str, pa.Array]
    selected: Mask
    against: Mask
    order: NDArray[np.int64]

    @property
    def graded(self) -> list[str]:
        """Names of the numeric columns that have an order worth comparing: more than two values."""
        return [name for name, values in self.numbers.items() if len(np.unique(values[np.isfinite(values)])) > 2]

    def first(self, mask_N: Mask, count: int) -> list[int]:
        """Return `count` rows of the mask, or all when there are fewer, picked by chance."""
        return self.order[mask_N[self.order]][:count].tolist()


def read_scored_samples(
    pools: Sequence[Dataset],
    scores: Mapping[str, Sequence[Dataset]],
    subset: Subset | None = None,
    against: Subset | None = None,
    seed: int = 0,
) -> ScoredSamples:
    """Read the numbers and texts of scores by label, and mark what the subsets keep.

    Hashes in numbers are texts of 16 hex digits; vectors are neither, and what `dedup` has written is not read here.

    Raises:
        ConfigError: When scores are of other pools, or of none of the samples.
        DataError: When a score file is damaged.
    """
    candidates = read_candidates(pools, scores)
    numbers: dict[str, Values] = {}
    texts: dict[str, pa.Array] = {}
    for label, datasets in scores.items():
        if is_dedup(datasets):
            continue
        for column in dict.fromkeys(name for one in datasets for name in _flat_columns(one)):
            name = f"{label}.{column}"
            values = candidates.column(name)
            if pa.types.is_string(values.type):
                texts[name] = values
            elif is_amount(values):
                numbers[name] = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            elif pa.types.is_integer(values.type):
                texts[name] = _hash_texts(values)
    nothing = np.zeros(len(candidates), dtype=bool)
    masks = [nothing if one is None else contains(one.uids, candidates.uids) for one in (subset, against)]
    order = np.argsort(hash_uids(candidates.uids, seed), kind="stable")
    return ScoredSamples(candidates, numbers, texts, masks[0], masks[1], order)


def _hash_texts(values: pa.Array) -> pa.Array:
    words_N = values.fill_null(0).cast(pa.uint64(), safe=False).to_numpy(zero_copy_only=False)
    return pc.call_function("if_else", [values.is_valid(), format_words(words_N), pa.scalar(None, pa.string())])


def is_dedup(datasets: Sequence[Dataset]) -> bool:
    """Tell whether `oqvl-filter dedup` has written all of these."""
    return all(_columns(one) <= DEDUP_COLUMNS and one.manifest.lineage.tool.endswith(" dedup") for one in datasets)


def _columns(dataset: Dataset) -> set[str]:
    assert dataset.manifest.details.kind == "scores"
    return set(dataset.manifest.details.columns)


def _flat_columns(dataset: Dataset) -> list[str]:
    columns = _columns(dataset)
    return [field.name for field in dataset.manifest.fields if field.name in columns and "list" not in field.dtype]
