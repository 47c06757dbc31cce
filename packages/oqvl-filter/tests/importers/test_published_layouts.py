"""Each published layout made small, with the differences that files of the wild have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oqvl_filter import run
from oqvl_filter.config import (
    ImportAnnotationsConfig,
    ImportCsvConfig,
    ImportDatacompConfig,
    ImportLimits,
    ImportMlmFilterConfig,
    ScoreConfig,
    SelectConfig,
)
from oqvl_filter.importers.annotations import read_annotations
from oqvl_filter.importers.csv_table import read_csv
from oqvl_filter.importers.foreign_table import read_parquet, to_score_table
from oqvl_filter.importers.mlm_filter import read_answers
from oqvl_shards.errors import ConfigError, DataError, OqvlError
from oqvl_shards.uid import array_to_uids

LIMITS = ImportLimits()


def rows_of(directory: Path, name: str = "00000.parquet") -> list[dict]:
    return pq.read_table(directory / name).to_pylist()


TEXT_TYPES: dict[str, Callable[[list], pa.Array]] = {
    "string": lambda values: pa.array(values, pa.string()),
    "large_string": lambda values: pa.array(values, pa.large_string()),
    "dictionary": lambda values: pa.array(values, pa.string()).dictionary_encode(),
}


@pytest.mark.parametrize("text", TEXT_TYPES)
def test_mlm_filters_answers_are_read_whatever_type_of_text_they_are(tmp_path: Path, uid_of, text: str):
    as_text = TEXT_TYPES[text]
    table = {
        "uid": as_text([uid_of(0), uid_of(1), uid_of(2)]),
        "semantic_understanding_score": as_text(["85\nfine", "none", None]),
    }
    pq.write_table(pa.table(table), tmp_path / "00000000_su.parquet")
    answers = read_answers([tmp_path / "00000000_su.parquet"], "uid", LIMITS)
    assert answers["su"].to_pylist() == [85, None, None]
    config = ImportMlmFilterConfig(source=tmp_path, output=tmp_path / "out", name="n")
    assert run.import_scores(config).account.rejected == {"unparsable_score": 2}


@pytest.mark.parametrize("text", TEXT_TYPES)
def test_datacomps_uids_are_read_whatever_type_of_text_they_are(tmp_path: Path, uid_of, text: str):
    as_text = TEXT_TYPES[text]
    table = {
        "uid": as_text([uid_of(0).upper(), uid_of(1), None]),
        "sha256": as_text(["f" * 64, None, "e" * 64]),
        "clip_l14_similarity_score": pa.array([0.25, np.nan, 0.5], pa.float32()),
        "original_width": pa.array([1, 2, 3], pa.int16()),
    }
    pq.write_table(pa.table(table), tmp_path / "0.parquet")
    report = run.import_scores(ImportDatacompConfig(source=tmp_path, output=tmp_path / "out", name="n"))
    assert report.account.model_dump() == {"num_in": 3, "num_kept": 2, "rejected": {"bad_uid": 1}}
    rows = rows_of(tmp_path / "out")
    assert [row["uid"] for row in rows] == [uid_of(0), uid_of(1)]
    assert [(row["content_sha"], row["clip_l14"], row["width"]) for row in rows] == [
        ("f" * 64, 0.25, 1),
        (None, None, 2),
    ]


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (pa.float16(), [np.float16(0.5), None]),
        (pa.float64(), [0.5, None]),
        (pa.int8(), [-5, None]),
        (pa.uint64(), [2**64 - 1, None]),
        (pa.bool_(), [True, None]),
    ],
)
def test_a_column_of_any_flat_type_is_a_score(tmp_path: Path, uid_of, type_: pa.DataType, values: list):
    pq.write_table(pa.table({"uid": [uid_of(0), uid_of(1)], "q": pa.array(values, type_)}), tmp_path / "0.parquet")
    config = ImportDatacompConfig(source=tmp_path, output=tmp_path / "out", name="n", columns={"q": "q"})
    assert run.import_scores(config).account.rejected == {"no_score": 1}
    assert [row["q"] for row in rows_of(tmp_path / "out")] == values


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[1.0], [2.0]]),
        pa.array([{"a": 1}, {"a": 2}]),
        pa.array([b"x", b"y"]),
        pa.array([0, 1], pa.timestamp("s")),
    ],
)
def test_a_column_that_can_be_no_score_is_left_out_or_named(tmp_path: Path, uid_of, column: pa.Array):
    table = pa.table({"uid": [uid_of(0), uid_of(1)], "odd": column, "q": [1, 2]})
    pq.write_table(table, tmp_path / "0.parquet")
    assert read_parquet(tmp_path / "0.parquet", LIMITS).column_names == ["uid", "q"]
    config = ImportDatacompConfig(source=tmp_path, output=tmp_path / "out", name="n", columns={"odd": "odd"})
    with pytest.raises(ConfigError, match=r"found no column \['odd'\]") as error:
        run.import_scores(config)
    assert error.value.hint == "it has ['uid', 'q']"


def test_of_rows_about_one_sample_the_first_counts_in_a_rule(tmp_path: Path, uid_of):
    (tmp_path / "0.csv").write_text(f"uid,q\n{uid_of(0)},1\n{uid_of(1)},5\n{uid_of(0)},9\n")
    report = run.import_scores(ImportCsvConfig(source=tmp_path / "0.csv", output=tmp_path / "csv", name="n"))
    assert report.account.num_kept == 3
    config = SelectConfig.from_values({"scores": {"c": tmp_path / "csv"}, "keep": "q >= 5", "output": tmp_path / "s"})
    selected = run.select(config)
    assert array_to_uids(np.load(tmp_path / "s" / "subset.npy")) == [uid_of(1)]
    assert selected.account.model_dump() == {"num_in": 2, "num_kept": 1, "rejected": {"c.q >= 5": 1}}


def test_keys_that_no_sample_has_are_counted_and_samples_without_a_row_have_no_value(
    make_pool, plain_pairs, tmp_path: Path, uid_of
):
    pool = make_pool([plain_pairs(3), plain_pairs(2, start=3)])
    source = tmp_path / "annotations"
    source.mkdir()
    (source / "0.json").write_text(json.dumps({"000000": 0, "000002": 7, "999999": 1, "000003": 2}))
    (source / "00001.json").write_text(json.dumps([{"key": "000004", "value": 3}, {"key": None, "value": 4}]))
    config = ImportAnnotationsConfig(source=source, output=tmp_path / "out", name="n", pool=pool.path)
    report = run.import_scores(config)
    # 000003 is a key of the other shard.
    assert report.account.model_dump() == {"num_in": 6, "num_kept": 3, "rejected": {"unknown_key": 3}}
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "rules"))
    scores = {"a": tmp_path / "out", "r": tmp_path / "rules"}
    values = {"pools": pool.path, "scores": scores, "keep": "a.value is null", "output": tmp_path / "s"}
    run.select(SelectConfig.from_values(values))
    assert set(array_to_uids(np.load(tmp_path / "s" / "subset.npy"))) == {uid_of(1), uid_of(3)}


SEPARATORS = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e"


@pytest.mark.parametrize("separator", SEPARATORS)
def test_a_line_of_json_may_hold_any_character_that_ends_a_line_elsewhere(tmp_path: Path, separator: str):
    """`ensure_ascii=False` leaves U+2028, U+2029 and U+0085 as they are."""
    rows = [{"uid": "a", "note": f"one{separator}two"}, {"uid": "b", "note": "three"}]
    path = tmp_path / "0.jsonl"
    path.write_text("\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8", newline="")
    assert read_annotations(path, "uid", LIMITS).to_pylist() == rows


json_texts = st.dictionaries(
    st.sampled_from(["uid", "a", "b", "\ud800"]),
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4), st.just("\udfff"), st.just([])
    ),
    max_size=4,
)


@settings(max_examples=80)
@given(st.lists(json_texts, max_size=4), st.booleans())
def test_any_annotations_are_read_row_by_row_or_named(tmp_path_factory, rows: list[dict], by_line: bool):
    path = tmp_path_factory.mktemp("annotations") / "0.json"
    path.write_text("\n".join(map(json.dumps, rows)) if by_line else json.dumps(rows))
    try:
        table = read_annotations(path, "uid", LIMITS)
    except DataError as error:
        assert str(path) in error.message
        return
    # One object alone, without the identity, maps uids to values.
    is_mapping = by_line and len(rows) == 1 and "uid" not in rows[0]
    uids = list(rows[0]) if is_mapping else [row.get("uid") for row in rows]
    assert str(table["uid"].to_pylist()) == str(uids)


@pytest.mark.parametrize("text", ['[{"uid": "\\ud800"}]', '[{"uid": "a", "\\ud800": 1}]'])
def test_half_a_character_is_named(tmp_path: Path, text: str):
    (tmp_path / "0.json").write_text(text)
    with pytest.raises(DataError, match="not UTF-8") as error:
        read_annotations(tmp_path / "0.json", "uid", LIMITS)
    assert "0.json" in error.value.message


numbers = st.one_of(
    st.integers(0, 2**64 - 1), st.integers(2**63 - 2, 2**63 + 2), st.sampled_from([0, 1, 2**53 + 1, 2**64 - 1])
)


@settings(max_examples=60)
@given(st.lists(st.none() | numbers, min_size=1, max_size=6).filter(any))
def test_whole_numbers_in_csv_are_exact_up_to_the_last_of_64_bits(tmp_path_factory, values: list[int | None]):
    path = tmp_path_factory.mktemp("csv") / "0.csv"
    lines = [f"{number:032x},{'' if value is None else value}" for number, value in enumerate(values)]
    path.write_text("\n".join(["uid,hash", *lines]))
    column = read_csv(path, "uid", LIMITS)["hash"]
    assert column.to_pylist() == values
    assert pa.types.is_integer(column.type)


def test_an_identity_of_digits_stays_text(tmp_path: Path):
    (tmp_path / "0.csv").write_text(f"uid,q\n{'0' * 31}7,1\n{'1' * 32},2\n")
    assert read_csv(tmp_path / "0.csv", "uid", LIMITS)["uid"].to_pylist() == ["0" * 31 + "7", "1" * 32]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("uid,q\na,1\nb\n", "not a readable CSV"),
        ("uid,q,q\na,1,2\n", r"several columns with the names \['q'\]"),
        ("", "not a readable CSV"),
    ],
)
def test_a_table_that_could_mean_two_things_is_refused(tmp_path: Path, content: str, problem: str):
    (tmp_path / "0.csv").write_text(content)
    with pytest.raises(DataError, match=problem):
        read_csv(tmp_path / "0.csv", "uid", LIMITS)


score_columns = st.dictionaries(
    st.sampled_from(["q", "r"]),
    st.lists(st.none() | st.floats() | st.integers(-5, 5), min_size=4, max_size=4),
    min_size=1,
)


@given(score_columns, st.lists(st.sampled_from(["a", "b", "zz", None]), min_size=4, max_size=4))
def test_rows_by_key_are_divided_into_scores_reasons_and_unknown_ones(columns: dict[str, list], keys: list[str | None]):
    table = pa.table(
        {
            "key": pa.array(keys, pa.string()),
            **{name: pa.array(values, pa.float64()) for name, values in columns.items()},
        }
    )
    made, lost = to_score_table(table, {"a": "1" * 32, "b": "2" * 32})
    known = [row for row, key in enumerate(keys) if key in ("a", "b")]
    assert made["key"].to_pylist() == [keys[row] for row in known]
    assert made["uid"].to_pylist() == [{"a": "1" * 32, "b": "2" * 32}[str(keys[row])] for row in known]
    assert sum(lost.values()) == 4 - len(known)
    for place, row in enumerate(known):
        values = [values[row] for values in columns.values()]
        is_empty = all(value is None or value != value for value in values)
        assert made["reject"][place].as_py() == ("no_score" if is_empty else None)


@pytest.mark.parametrize(
    "config", [ImportCsvConfig, ImportDatacompConfig, ImportMlmFilterConfig, ImportAnnotationsConfig]
)
def test_a_folder_without_such_files_is_named_with_the_suffixes(tmp_path: Path, config):
    (tmp_path / "README").write_text("x")
    with pytest.raises(OqvlError, match="found no file that ends in") as error:
        run.import_scores(config(source=tmp_path, output=tmp_path / "out", name="n"))
    assert all(suffix in error.value.message for suffix in config.suffixes)
    assert not (tmp_path / "out").exists()
