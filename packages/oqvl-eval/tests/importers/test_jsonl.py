from __future__ import annotations

import json
from pathlib import Path

import pytest

from oqvl_eval import ImageRef
from oqvl_eval.importers.jsonl import ImageFolder, read_jsonl
from oqvl_shards.errors import DataError

LINE = {"id": "q", "question": "What?", "choices": ["x", "y"], "answer": "B"}


def read(tmp_path: Path, *lines: object):
    path = tmp_path / "items.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return list(read_jsonl(path))


def test_a_full_line(tmp_path):
    [item] = read(
        tmp_path,
        {
            "id": "q1",
            "question": "Is <image>older than <image>?",
            "images": ["a/1.jpg", "2.png"],
            "answer": "yes",
            "cluster": "ages",
            "category": "time",
            "accepted_answers": ["true"],
            "metadata": {"year": 1905},
        },
    )
    assert item.segments == ("Is ", ImageRef("a/1.jpg"), "older than ", ImageRef("2.png"), "?")
    assert (item.item_id, item.cluster_id, item.category) == ("q1", "ages", "time")
    assert item.accepted_answers == ("yes", "true")
    assert item.metadata["year"] == 1905


def test_pictures_without_marks_come_first(tmp_path):
    [item] = read(tmp_path, {**LINE, "images": ["1.jpg", "2.jpg"]})
    assert item.segments == (ImageRef("1.jpg"), ImageRef("2.jpg"), "What?")


@pytest.mark.parametrize(("answer", "letter"), [("B", "B"), (0, "A"), (1, "B")])
def test_answers_are_letters_or_indices(tmp_path, answer, letter):
    assert read(tmp_path, {**LINE, "answer": answer})[0].answer == letter


def test_blank_lines_and_line_separators_inside_texts(tmp_path):
    assert len(read(tmp_path, LINE, "", {**LINE, "id": "r"}, "")) == 2
    text = json.dumps({**LINE, "question": "one\u2028two"}, ensure_ascii=False)
    assert read(tmp_path, text)[0].segments == ("one\u2028two",)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is not JSON"),
        ("[" * 100_000, "line 2 is not JSON"),
        ({"question": "?", "answer": "x"}, "line 2: id: Field required"),
        ({**LINE, "colour": 1}, "line 2: colour: Extra inputs"),
        ({**LINE, "answer": "x"}, "line 2: item 'q' has the answer 'x', expected one of A, B"),
        ({**LINE, "answer": 2}, "line 2: answer 2 is not the index of one of 2 options"),
        ({**LINE, "answer": True}, "line 2: answer"),
        (
            {**LINE, "question": "<image> and <image>", "images": ["1"]},
            "line 2: the question has 2 <image> marks, but there are 1",
        ),
    ],
)
def test_problems_name_the_line(tmp_path, line, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, {**LINE, "id": "first"}, line)


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        list(read_jsonl(tmp_path / "none.jsonl"))


def test_a_folder_is_a_mapping(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").write_bytes(b"one")
    (tmp_path / "2.jpg").write_bytes(b"two")
    assert dict(ImageFolder(tmp_path)) == {"2.jpg": b"two", "a/1.jpg": b"one"}
    assert len(ImageFolder(tmp_path)) == 2
    assert "none.jpg" not in ImageFolder(tmp_path)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "a/../../secret", "a\\b", "a\0b"])
def test_no_name_leaves_the_folder(tmp_path, name):
    with pytest.raises(DataError, match="leaves the folder"):
        ImageFolder(tmp_path)[name]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({key: value for key, value in LINE.items() if key != "answer"}, "answer: Field required"),
        ({**LINE, "id": ""}, "id: String should have at least 1 character"),
        ({**LINE, "question": None}, "question: Input should be a valid string; found None"),
        ({**LINE, "images": "a.jpg"}, "images: Input should be a valid tuple; found 'a.jpg'"),
        ({**LINE, "choices": ["x", 2]}, r"choices\.1: Input should be a valid string; found 2"),
        ({**LINE, "choices": ["x", " "]}, "item 'q' has an empty option"),
        ({**LINE, "choices": [], "answer": 0}, "answer 0 is not the index of one of 0 options"),
        ({**LINE, "answer": -1}, "answer -1 is not the index"),
        ({**LINE, "choices": [], "answer": ""}, "item 'q' has no answer"),
        ({**LINE, "metadata": [1]}, "metadata: Input should be a valid dictionary"),
        ({**LINE, "choices": [str(index) for index in range(40)], "answer": 30}, "answer 30 is not the index"),
        ("[1, 2]", "Input should be a valid dictionary"),
        ('{"id": "q", "answer": NaN}', "answer"),
        ("not json", "is not JSON"),
    ],
)
def test_a_malformed_line_is_named_by_its_number_in_the_file(tmp_path, line, message):
    with pytest.raises(DataError, match=rf"items\.jsonl, line 4\b.*{message}") as caught:
        read(tmp_path, {**LINE, "id": "first"}, "", {**LINE, "id": "second"}, line, {**LINE, "id": "last"})
    assert caught.value.hint


def test_items_before_a_malformed_line_are_read(tmp_path):
    (tmp_path / "items.jsonl").write_text(json.dumps(LINE) + "\n{")
    lines = read_jsonl(tmp_path / "items.jsonl")
    assert next(lines).item_id == "q"
    with pytest.raises(DataError, match="line 2 is not JSON"):
        next(lines)
