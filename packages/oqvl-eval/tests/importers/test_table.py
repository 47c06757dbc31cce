from __future__ import annotations

import base64

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from oqvl_eval.importers.table import Table
from oqvl_shards.errors import DataError


def test_pictures_are_named_by_content_and_read_when_asked_for(tmp_path, pictures):
    names = ["red-0.png", "blue-0.png", "red-0.png", "green-0.png"]
    table = pa.table({"n": [1, 2, 3, 4], "image": [pictures[name] for name in names]})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=2)
    opened = Table(tmp_path / "t.parquet", ["n"])
    assert [row.text("n") for row in opened.rows] == ["1", "2", "3", "4"]
    assert opened.rows[0].picture == opened.rows[2].picture
    assert (len(opened.images), len(list(opened.images))) == (3, 3)
    assert [opened.images[row.picture] for row in opened.rows] == [pictures[name] for name in names]
    assert opened.rows[2].where == "t.parquet, row group 1, row 0"


def test_a_tsv_keeps_its_texts_as_they_are(tmp_path, pictures):
    cell = base64.b64encode(pictures["red-0.png"]).decode()
    (tmp_path / "t.tsv").write_text(f'index\tA\timage\n007\t1.0\t{cell}\n8\t"two\nlines"\t007\n')
    opened = Table(tmp_path / "t.tsv", ["index", "A"])
    assert [(row.text("index"), row.text("A")) for row in opened.rows] == [("007", "1.0"), ("8", "two\nlines")]
    assert opened.rows[0].picture == opened.rows[1].picture
    assert opened.rows[0].text("missing") == ""


def test_a_picture_by_path_alone_is_refused(tmp_path):
    image = pa.array(
        [{"bytes": None, "path": "/etc/hostname"}], pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    )
    pq.write_table(pa.table({"image": image}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"row 0 has no picture"):
        Table(tmp_path / "t.parquet", [])


def test_a_folder_is_read_in_natural_order(tmp_path, pictures):
    for number in (10, 9):
        table = pa.table({"n": [number], "image": [pictures["red-0.png"]]})
        pq.write_table(table, tmp_path / f"part-{number}.parquet")
    opened = Table(tmp_path, ["n"])
    assert [(row.text("n"), row.where) for row in opened.rows] == [
        ("9", "part-9.parquet, row group 0, row 0"),
        ("10", "part-10.parquet, row group 0, row 0"),
    ]


def test_a_row_without_a_picture_is_named_by_its_place(tmp_path, pictures):
    cell = base64.b64encode(pictures["red-0.png"]).decode()
    (tmp_path / "t.tsv").write_text(f"index\timage\n1\t{cell}\n2\t\n")
    with pytest.raises(DataError, match=r"t\.tsv, row 1"):
        Table(tmp_path / "t.tsv", ["index"])


def test_missing_columns_are_listed_with_those_that_are_there(tmp_path, pictures):
    pq.write_table(pa.table({"n": [1], "image": [pictures["red-0.png"]]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"row group 0 lacks the columns \['a', 'b'\]; it has \['n', 'image'\]"):
        Table(tmp_path / "t.parquet", ["n", "a", "b"])
