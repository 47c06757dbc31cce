"""What a page is about: the samples of pools, the columns of their scores, and what subsets keep.

N is the number of samples, in the order of `oqvl_filter.candidates`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from oqvl_filter.candidates import Candidates, read_candidates
from oqvl_filter.pages.agreement import Mask, Values
from oqvl_filter.score_file import is_amount
from oqvl_filter.subset import Subset
from oqvl_filter.uid_array import contains, format_words, hash_uids
from oqvl_shards.dataset import Dataset

_DEDUP_COLUMNS = frozenset({"cluster", "cluster_size", "duplicate", "match", "nearness"})


@dataclass(frozen=True)
class ScoredSamples:
    """The samples of some pools, and which of them two selections keep.

    Args:
        candidates: The N samples.
        numbers: The values [N] of every numeric column by `LABEL.COLUMN`; NaN for null.
        texts: The values [N] of every column of texts or hashes by `LABEL.COLUMN`.
        selected: Mask [N] of what the subset keeps; all false without a subset.
        against: Mask [N] of what the other subset keeps; all false without one.
        order: [N] rows in the order of a hash of their uids, in which random picks are made.
    """

    candidates: Candidates
    numbers: Mapping[str, Values]
    texts: Mapping[str, pa.Array]
    selected: Mask
    against: Mask
    order: NDArray[np.int64]

    @property
    def graded(self) -> list[str]:
        """Names of the numeric columns with more than two values, whose orders are worth comparing."""
        return [name for name, values in self.numbers.items() if len(np.unique(values[np.isfinite(values)])) > 2]

    def first(self, mask_N: Mask, count: int) -> list[int]:
        """Return a random `count` of the mask's rows, or all if there are fewer."""
        return self.order[mask_N[self.order]][:count].tolist()


def read_scored_samples(
    pools: Sequence[Dataset],
    scores: Mapping[str, Sequence[Dataset]],
    subset: Subset | None = None,
    against: Subset | None = None,
    seed: int = 0,
) -> ScoredSamples:
    """Read the numbers and texts of scores by label, and mark what the subsets keep.

    Numeric hashes become texts of 16 hex digits. Vectors, and the output of `dedup`, are not read.

    Raises:
        ConfigError: If scores are of other pools, or of none of the samples.
        DataError: If a score file is damaged.
    """
    candidates = read_candidates(pools, scores)
    numbers: dict[str, Values] = {}
    texts: dict[str, pa.Array] = {}
    for label, datasets in scores.items():
        if is_dedup(datasets):
            continue
        for column in dict.fromkeys(name for dataset in datasets for name in _flat_columns(dataset)):
            name = f"{label}.{column}"
            values = candidates.column(name)
            if pa.types.is_string(values.type):
                texts[name] = values
            elif is_amount(values):
                numbers[name] = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            elif pa.types.is_integer(values.type):
                texts[name] = _hash_texts(values)
    return ScoredSamples(
        candidates=candidates,
        numbers=numbers,
        texts=texts,
        selected=_mask(subset, candidates),
        against=_mask(against, candidates),
        order=np.argsort(hash_uids(candidates.uids, seed), kind="stable"),
    )


def _mask(subset: Subset | None, candidates: Candidates) -> Mask:
    if subset is None:
        return np.zeros(len(candidates), dtype=bool)
    return contains(subset.uids, candidates.uids)


def _hash_texts(values: pa.Array) -> pa.Array:
    words_N = values.fill_null(0).cast(pa.uint64(), safe=False).to_numpy(zero_copy_only=False)
    return pc.call_function("if_else", [values.is_valid(), format_words(words_N), pa.scalar(None, pa.string())])


def is_dedup(datasets: Sequence[Dataset]) -> bool:
    """Return whether `oqvl-filter dedup` wrote all of these datasets."""
    return all(
        _columns(dataset) <= _DEDUP_COLUMNS and dataset.manifest.lineage.tool.endswith(" dedup") for dataset in datasets
    )


def _columns(dataset: Dataset) -> set[str]:
    assert dataset.manifest.details.kind == "scores"
    return set(dataset.manifest.details.columns)


def _flat_columns(dataset: Dataset) -> list[str]:
    columns = _columns(dataset)
    return [field.name for field in dataset.manifest.fields if field.name in columns and "list" not in field.dtype]
