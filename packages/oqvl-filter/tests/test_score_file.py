from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter.pool import PoolSample
from oqvl_filter.score_file import account_of, arrow_type, count_values, deciles, read_table, vector_dtype, write_table
from oqvl_filter.scorers.scoring import score_table
from oqvl_shards.errors import DataError
from oqvl_shards.manifest import FieldSpec
from oqvl_shards.tar.sample import RejectReason, Sample
from oqvl_shards.uid import Uid

COLUMNS = (FieldSpec(name="score", dtype="float32"), FieldSpec(name="word", dtype="string"))


def sample(number: int) -> PoolSample:
    return PoolSample(Sample(f"k{number}", "00000.tar", (), ()), Uid(f"{number:032x}", derived=number % 2 == 1))


def test_every_sample_has_a_row():
    table = score_table([sample(0), sample(1)], [{"score": 0.5, "word": "x"}, RejectReason.IMAGE_BROKEN], COLUMNS)
    assert table.to_pylist() == [
        {"uid": f"{0:032x}", "uid_derived": False, "key": "k0", "score": 0.5, "word": "x", "reject": None},
        {"uid": f"{1:032x}", "uid_derived": True, "key": "k1", "score": None, "word": None, "reject": "image_broken"},
    ]
    assert account_of(table).rejected == {"image_broken": 1}


@given(files=st.lists(st.lists(st.one_of(st.none(), st.sampled_from("abc")), max_size=5), min_size=1, max_size=4))
def test_counts_go_over_all_files(files: list[list[str | None]], tmp_path_factory):
    directory = tmp_path_factory.mktemp("counts")
    paths = [directory / f"{index}.parquet" for index in range(len(files))]
    for path, words in zip(paths, files, strict=True):
        write_table(pa.table({"word": pa.array(words, pa.string())}), path)
    expected = Counter(word for words in files for word in words)
    found = [counts.to_pylist() for counts in count_values(paths, "word")]
    assert found == [[expected[word] if word else None for word in words] for words in files]


def test_deciles_pass_over_nulls_and_what_has_no_size(tmp_path: Path):
    path = tmp_path / "a.parquet"
    scores = [*range(101), np.inf, None]
    columns = (
        *COLUMNS,
        FieldSpec(name="hash", dtype="uint64"),
        FieldSpec(name="signed_hash", dtype="int64"),
        FieldSpec(name="flag", dtype="bool"),
        FieldSpec(name="vector", dtype=vector_dtype("float16", 2)),
    )
    table = {
        "score": pa.array(scores, pa.float32()),
        "word": pa.array(["x"] * 103),
        "hash": pa.array(range(103), pa.uint64()),
        "signed_hash": pa.array([-(2**63), *range(101), None], pa.int64()),
        "flag": pa.array([True, None, False] * 34 + [None]),
        "vector": pa.array([[0.0, 1.0]] * 103, arrow_type(vector_dtype("float16", 2))),
    }
    write_table(pa.table(table), path)
    assert deciles([path], columns) == {f"score.p{percent}": percent for percent in range(0, 101, 10)}


def test_a_damaged_file_is_named(tmp_path: Path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=r"a\.parquet is not a readable score file"):
        read_table(path)
