"""Foreign files are untrusted: whatever is in one, an importer reads it or says what is wrong with it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter.importers.annotations import read_annotations
from oqvl_filter.importers.config import ImportLimits
from oqvl_filter.importers.csv_table import read_csv
from oqvl_filter.importers.datacomp import read_vectors
from oqvl_filter.importers.foreign_table import read_parquet, to_score_table
from oqvl_filter.importers.mlm_filter import parse_score, read_answers
from oqvl_filter.importers.prompts import read_checkout
from oqvl_filter.importers.uid_list import read_uid_list
from oqvl_shards.errors import DataError, OqvlError

LIMITS = ImportLimits()
UID = "0123456789abcdef" * 2

READERS = {
    "annotations.json": lambda path: read_annotations(path, "uid", LIMITS),
    "scores.csv": lambda path: read_csv(path, "uid", LIMITS),
    "metadata.parquet": lambda path: read_parquet(path, LIMITS),
    "00000000_su.parquet": lambda path: read_answers([path], "uid", LIMITS),
    "vectors.npz": lambda path: read_vectors(path, "l14_img", LIMITS),
    "uids.npy": read_uid_list,
    "uids.txt": read_uid_list,
    "scoring.py": lambda path: read_checkout(path, "own"),
}


def whole_file(name: str) -> bytes:
    """A good file of each kind."""
    buffer = io.BytesIO()
    match name.rpartition(".")[2]:
        case "json":
            return json.dumps([{"uid": UID, "score": 0.5}]).encode()
        case "csv":
            return f"uid,score\n{UID},0.5\n".encode()
        case "parquet":
            pq.write_table(pa.table({"uid": [UID], "su_score": ["85"]}), buffer)
        case "npz":
            np.savez(buffer, l14_img=np.ones((2, 3), np.float16))
        case "npy":
            np.save(buffer, np.zeros(3, dtype="u8,u8"))
        case _:
            return f"{UID}\n".encode()
    return buffer.getvalue()


@pytest.mark.parametrize("name", READERS)
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_read_or_named(tmp_path_factory, name: str, content: bytes):
    path = tmp_path_factory.mktemp("foreign") / name
    path.write_bytes(content)
    try:
        READERS[name](path)
    except OqvlError as error:
        assert str(path.parent) in error.message


@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
def test_one_changed_byte_or_a_cut_is_read_or_named(tmp_path_factory, name: str, data: st.DataObject):
    content = bytearray(whole_file(name))
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[place:]
    else:
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("foreign") / name
    path.write_bytes(content)
    try:
        READERS[name](path)
    except OqvlError as error:
        assert error.message


@pytest.mark.parametrize(
    "name", [name for name in READERS if name not in ("vectors.npz", "uids.npy", "uids.txt", "scoring.py")]
)
def test_a_file_above_the_limit_is_not_read(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / name
    path.write_bytes(whole_file(name))
    monkeypatch.setitem(globals(), "LIMITS", ImportLimits(max_file_bytes=10))
    with pytest.raises(DataError, match="expected at most 10") as error:
        READERS[name](path)
    assert "max_file_bytes" in error.value.hint


uid_like = st.one_of(
    st.none(),
    st.text("0123456789abcdefABCDEF", min_size=32, max_size=32),
    st.text("0123456789abcdefg -", max_size=34),
)


@given(st.lists(st.tuples(uid_like, st.none() | st.floats()), max_size=12))
def test_every_row_becomes_a_row_or_a_reason(rows: list[tuple[str | None, float | None]]):
    table = pa.table(
        {
            "uid": pa.array([uid for uid, _ in rows], pa.string()),
            "score": pa.array([score for _, score in rows], pa.float64()),
        }
    )
    made, lost = to_score_table(table, None)
    digits = set("0123456789abcdefABCDEF")
    good = [(uid, score) for uid, score in rows if uid and len(uid) == 32 and set(uid) <= digits]
    assert made["uid"].to_pylist() == [uid.lower() for uid, _ in good]
    assert lost == ({"bad_uid": len(rows) - len(good)} if len(good) < len(rows) else {})
    has_no_value = [score is None or score != score for _, score in good]
    assert made["reject"].to_pylist() == ["no_score" if empty else None for empty in has_no_value]


@given(st.integers(0, 1000), st.sampled_from(["", ",", ";", "\nbecause", " \n 7"]), st.sampled_from(["", " ", "\n"]))
def test_a_score_is_the_number_on_the_first_line(number: int, after: str, before: str):
    assert parse_score(f"{before}{number}{after}") == (number if number <= 100 else None)


@given(st.text(max_size=20))
def test_any_answer_is_a_score_or_none(answer: str):
    score = parse_score(answer)
    assert score is None or 0 <= score <= 100
