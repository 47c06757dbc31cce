import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_shards.errors import DataError
from oqvl_shards.importers.json_records import JsonRecords, find_nested_records, find_records, join_records
from oqvl_shards.tar.writer import TarWriter

LIMIT = 1 << 20

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(['"', "\\", '\\"', "[{]},"]),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=6,
)


def parse(records: JsonRecords) -> list[object]:
    return [json.loads(data or b"") for _, data in records.read(LIMIT)]


@given(records=st.lists(values, max_size=5), indent=st.sampled_from([None, 1]), ascii_only=st.booleans())
def test_an_array_and_lines_give_the_same_records(records: list[object], indent: int | None, ascii_only: bool) -> None:
    with TemporaryDirectory() as directory:
        array, lines = Path(directory) / "a.json", Path(directory) / "a.jsonl"
        array.write_text(json.dumps(records, indent=indent, ensure_ascii=ascii_only), encoding="utf-8")
        # A first line that begins with a bracket would make the file an array; in practice records are objects.
        wrapped = [{"record": record} for record in records]
        lines.write_text("\n".join(json.dumps(record, ensure_ascii=ascii_only) for record in wrapped), encoding="utf-8")
        assert parse(find_records(array)) == records
        assert parse(find_records(lines)) == wrapped


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", []),
        (b"\n\n", []),
        (b"[]", []),
        (b"  [ ]  ", []),
        (b'[{"a": "]"}, {"b": "\\"],["}]\n', [b'{"a": "]"}', b'{"b": "\\"],["}']),
        (b'[{"a": 1},]', [b'{"a": 1}']),
        (b'{"a": 1}\n\n{"b": [\n', [b'{"a": 1}', b'{"b": [']),
        (b'{"a": 1}\r\n{"b": 2}', [b'{"a": 1}', b'{"b": 2}']),
    ],
)
def test_known_layouts(tmp_path: Path, text: bytes, expected: list[bytes]) -> None:
    path = tmp_path / "records"
    path.write_bytes(text)
    assert [(data or b"").strip() for _, data in find_records(path).read(LIMIT)] == expected


@pytest.mark.parametrize("text", [b"[", b'[{"a": 1}', b'[{"a": 1}, {"b": 2', b'[{"a": "unfinished]}'])
def test_a_cut_array_is_named(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "cut.json"
    path.write_bytes(text)
    with pytest.raises(DataError, match=r"cut\.json ends inside its JSON array"):
        find_records(path)


def test_two_arrays_are_refused(tmp_path: Path) -> None:
    (tmp_path / "two.json").write_bytes(b"[1]\n[2]\n")
    with pytest.raises(DataError, match=r"two\.json continues after its JSON array"):
        find_records(tmp_path / "two.json")


def test_records_of_a_tar_are_its_json_members(tmp_path: Path) -> None:
    with TarWriter(tmp_path / "a.tar") as tar:
        tar.add("1.json", b"{}")
        tar.add("1.jpg", b"image")
        tar.add("2.json", b'{"a": 1}')
    assert [data for _, data in find_records(tmp_path / "a.tar").read(LIMIT)] == [b"{}", b'{"a": 1}']


def test_a_cut_tar_and_a_missing_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "cut.tar").write_bytes(b"x" * 100)
    with pytest.raises(DataError, match=r"cut\.tar: missing_end"):
        find_records(tmp_path / "cut.tar")
    with pytest.raises(DataError, match=r"absent\.json cannot be read: No such file"):
        find_records(tmp_path / "absent.json")


def test_chunks_keep_the_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"0\n1\n2\n3\n4\n")
    chunks = find_records(path).chunks(2)
    assert [len(chunk) for chunk in chunks] == [2, 2, 1]
    assert [number for chunk in chunks for number, _ in chunk.read(LIMIT)] == [0, 1, 2, 3, 4]
    assert [data for chunk in chunks for _, data in chunk.read(LIMIT)] == [b"0", b"1", b"2", b"3", b"4"]


def test_a_record_above_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"123\n12\n")
    assert list(find_records(path).read(2)) == [(0, None), (1, b"12")]


def test_records_of_several_files_are_joined_until_there_are_enough(tmp_path: Path) -> None:
    files = []
    for number, count in enumerate([3, 1, 0, 5, 1]):
        path = tmp_path / f"{number}.json"
        records = ",".join([f'{{"n": [{number}, "]"]}}'] * count)
        path.write_text(f'{{"data": [{records}], "lengths": []}}')
        files.append(find_nested_records(path, "data"))
    joined = join_records(files, 4)
    assert [len(one) for one in joined] == [4, 5, 1]
    assert [data for _, data in joined[0].read(99)] == [b'{"n": [0, "]"]}'] * 3 + [b'{"n": [1, "]"]}']
    assert [data for _, data in joined[0].read(3)] == [None] * 4
    assert join_records([], 4) == []
