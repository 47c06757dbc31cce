"""The seam of the neighbour search: a second implementation, bound by its dotted path."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from oqvl_filter import run
from oqvl_filter.config import DedupConfig
from oqvl_filter.dedup.cosine import ExactSearch
from oqvl_filter.dedup.neighbours import NeighbourSearch
from oqvl_filter.score_file import IDENTITY_FIELDS, REJECT_FIELD, write_table
from oqvl_shards.binding import bind
from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import Dataset, describe_file, open_dataset, write_manifest
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import Account, FieldSpec, Lineage, Manifest, ScoresDetails


class SignSearch:
    """Compares only vectors with the same signs in some dimensions: an index of one table, which misses pairs."""

    def __init__(self, num_bits: int) -> None:
        self.num_bits = num_bits

    def pairs(self, left_ND, right_MD, min_cosine: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        left_N, right_M = (np.packbits(rows[:, : self.num_bits] > 0, axis=1)[:, 0] for rows in (left_ND, right_MD))
        for key in np.unique(left_N):
            rows, others = np.flatnonzero(left_N == key), np.flatnonzero(right_M == key)
            near = np.argwhere(left_ND[rows] @ right_MD[others].T >= min_cosine)
            yield rows[near[:, 0]], others[near[:, 1]]


SIGN_SEARCH = f"{__name__}:SignSearch"


@pytest.fixture
def vectors(tmp_path, uid_of) -> Dataset:
    """Scores with a column of vectors: three near each other around an axis, one apart."""
    angles = np.deg2rad([10, 2, -6, 120])
    column = pa.array(np.stack([np.cos(angles), np.sin(angles)], axis=1).tolist(), pa.list_(pa.float32(), 2))
    table = pa.table(
        {
            "uid": [uid_of(n) for n in range(4)],
            "uid_derived": [False] * 4,
            "key": ["a", "b", "c", "d"],
            "vector": column,
            "reject": pa.nulls(4, pa.string()),
        }
    )
    path = tmp_path / "vectors" / "00000.parquet"
    path.parent.mkdir()
    write_table(table, path)
    manifest = Manifest(
        name="vectors",
        details=ScoresDetails(scorer="vectors", fingerprint="0" * 64, columns=("vector",)),
        shards=(describe_file(path, path.parent, 4),),
        fields=(*IDENTITY_FIELDS, FieldSpec(name="vector", dtype=str(column.type)), REJECT_FIELD),
        account=Account(num_in=4, num_kept=4),
        lineage=Lineage.derive("test", "0", StageConfig()),
    )
    return write_manifest(path.parent, manifest)


def dedup(vectors: Dataset, name: str, **values):
    output = vectors.path.parent / name
    config = {"scores": {"v": vectors.path}, "method": "embedding", "column": "vector", "output": output, **values}
    return run.dedup(DedupConfig.from_values(config))


def test_another_search_is_bound_by_its_path(vectors: Dataset):
    assert dedup(vectors, "exact").counts == {"num_clusters": 1, "num_duplicates": 2}
    options = {"search": SIGN_SEARCH, "search_options": {"num_bits": 2}}
    assert dedup(vectors, "signs", **options).counts == {"num_clusters": 1, "num_duplicates": 1}
    matches = dedup(vectors, "seen", **options, against={"same": vectors.path})
    assert matches.counts == {"num_matches": 4, "num_matches.same": 4}
    recorded = open_dataset(vectors.path.parent / "signs").manifest.lineage.config["config"]
    assert (recorded["search"], recorded["search_options"]) == (SIGN_SEARCH, {"num_bits": 2})


def test_the_shipped_one_is_exact():
    path = DedupConfig.model_fields["search"].default
    search = bind(path, NeighbourSearch, key="search", options={"block_size": 7})
    assert isinstance(search, ExactSearch) and search.block_size == 7


def test_a_search_that_cannot_be_made_is_named(vectors: Dataset):
    with pytest.raises(ConfigError, match="search='nowhere:Search': there is no module nowhere"):
        dedup(vectors, "nowhere", search="nowhere:Search")
    with pytest.raises(ConfigError, match=r"search=.* does not take the options \['speed'\]") as error:
        dedup(vectors, "speed", search_options={"speed": 1})
    assert "search_options.NAME=VALUE" in error.value.hint
    with pytest.raises(ConfigError, match=r"search=.* makes a \w+ without pairs"):
        dedup(vectors, "other", search="oqvl_filter.dedup.config:DedupConfig.model_construct")
