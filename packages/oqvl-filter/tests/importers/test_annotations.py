from __future__ import annotations

import json
from pathlib import Path

import pytest

from oqvl_filter.config import ImportLimits
from oqvl_filter.importers.annotations import read_annotations
from oqvl_shards.errors import DataError

LIMITS = ImportLimits()
ROWS = [{"uid": "a", "score": 0.5, "boxes": [1]}, {"uid": "b", "ok": True}]
EXPECTED = [{"uid": "a", "score": 0.5, "ok": None}, {"uid": "b", "score": None, "ok": True}]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ROWS),
        "\n".join(map(json.dumps, ROWS)) + "\n\n",
        json.dumps({row["uid"]: {name: row[name] for name in row if name != "uid"} for row in ROWS}, indent=1),
    ],
)
def test_the_three_layouts_say_the_same(tmp_path: Path, text: str):
    path = tmp_path / "0.json"
    path.write_text(text)
    assert read_annotations(path, "uid", LIMITS).to_pylist() == EXPECTED


def test_single_values_and_single_rows(tmp_path: Path):
    path = tmp_path / "0.json"
    path.write_text('{"a": 3, "b": 4}')
    assert read_annotations(path, "uid", LIMITS).to_pylist() == [{"uid": "a", "value": 3}, {"uid": "b", "value": 4}]
    path.write_text('{"uid": "a", "value": 3}')
    assert read_annotations(path, "uid", LIMITS).to_pylist() == [{"uid": "a", "value": 3}]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * 100_000, "not readable JSON"),
        ("{", "not readable JSON"),
        ("", "no annotation has 'uid'"),
        ("[3]", "of type int, expected an object"),
        ('[{"key": "a"}]', "no annotation has 'uid'"),
        ('[{"uid": "a", "x": 1}, {"uid": "b", "x": "1"}]', "'x' has values of several types"),
        ('[{"uid": "a", "x": 1e400, "y": 99999999999999999999999}]', "several types"),
    ],
)
def test_what_is_no_annotation_is_refused(tmp_path: Path, text: str, problem: str):
    path = tmp_path / "0.json"
    path.write_text(text)
    with pytest.raises(DataError, match=problem):
        read_annotations(path, "uid", LIMITS)


def test_a_file_of_any_size_is_not_read(tmp_path: Path):
    path = tmp_path / "0.json"
    path.write_text("[]" + " " * 99)
    with pytest.raises(DataError, match="expected at most 100"):
        read_annotations(path, "uid", ImportLimits(max_file_bytes=100))
