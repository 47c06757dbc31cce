from __future__ import annotations

import base64
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from oqvl_eval import Benchmark, CompareConfig, ImageRef, ScoreConfig, compare, evaluate, score, write_benchmark
from oqvl_eval.config import ImportConfig, SourceFormat
from oqvl_eval.importers.published import FORMATS, read_published
from oqvl_eval.run import import_benchmark
from oqvl_shards.errors import DataError

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture
def parquet(tmp_path, pictures):
    """Write rows as a Hugging Face parquet file with three rows per row group; `image` names a picture."""

    def write(rows: list[dict[str, Any]], name: str = "test-00000-of-00001.parquet"):
        cells = [{"bytes": pictures[row["image"]], "path": "x.png"} for row in rows]
        columns = {key: [row[key] for row in rows] for key in rows[0] if key != "image"}
        table = pa.table(columns).append_column("image", pa.array(cells, IMAGE))
        pq.write_table(table, tmp_path / name, row_group_size=3)
        return tmp_path / name

    return write


def pope_row(image, answer, category="random", **fields):
    return {"image": image, "question": "Is there a dog?", "answer": answer, "category": category, **fields}


def test_pope(parquet, pictures):
    source = parquet(
        [pope_row("red-0.png", "yes"), pope_row("blue-0.png", "No"), pope_row("red-0.png", "no", "popular")]
    )
    items, images = read_published("pope", source)
    assert [(item.item_id, item.answer, item.category) for item in items] == [
        ("random-0", "yes", "random"),
        ("random-1", "no", "random"),
        ("popular-2", "no", "popular"),
    ]
    assert {item.scoring_rule for item in items} == {"yes_no"}
    assert items[0].cluster_id == items[2].cluster_id != items[1].cluster_id
    assert images[items[1].image_names[0]] == pictures["blue-0.png"]
    assert len(images) == 2


def test_pope_from_import_to_f1(parquet, tmp_path, evaluation):
    rows = [
        pope_row("red-0.png", "yes", "random"),
        pope_row("red-1.png", "no", "random"),
        pope_row("blue-0.png", "no", "popular"),
        pope_row("blue-1.png", "yes", "popular"),
    ]
    import_benchmark(ImportConfig(source=parquet(rows), format="pope", output=tmp_path / "pope"))
    config = evaluation(benchmark=tmp_path / "pope", answerer="colour_answerer:YesWhenRed")
    evaluate(config)
    found = score(ScoreConfig(predictions=config.output, num_resamples=200))
    # red: yes, yes; blue: no, no. One true positive, one false positive, one false negative.
    assert found.yes_no is not None
    assert (found.yes_no.precision, found.yes_no.recall, found.yes_no.f1) == (0.5, 0.5, 0.5)
    assert found.yes_no.mean_category_f1 == pytest.approx((2 / 3 + 0) / 2)
    assert (found.accuracy, found.chance) == (0.5, 0.5)


MMSTAR = {
    "inline": "Which one?\nOptions: A: On the book., B: Under the cat., C: In a bed, D: By 3, or 4.",
    "lines": "Hint: answer with the letter.\nQuestion: How many?\nChoices:\n(A) 3\n(B) 4\n(C) 5\n(D) 6",
    "pictured": "Which figure completes the row?",
}


def test_mmstar(parquet):
    rows = [
        {"index": index, "question": text, "answer": "C", "category": "logic", "l2_category": "x", "image": "red-0.png"}
        for index, text in enumerate(MMSTAR.values())
    ]
    items, _ = read_published("mmstar", parquet(rows))
    assert [item.choices for item in items] == [
        ("On the book.", "Under the cat.", "In a bed", "By 3, or 4."),
        ("3", "4", "5", "6"),
        ("A", "B", "C", "D"),
    ]
    assert [item.segments[1] for item in items] == list(MMSTAR.values())
    assert all(item.shows_options for item in items)


def test_mmstar_falls_back_when_the_answer_is_not_among_the_options_found(parquet):
    text = "Options: A: x, B: y"
    row = {"index": 7, "question": text, "answer": "D", "category": "c", "l2_category": "x", "image": "red-0.png"}
    [item] = read_published("mmstar", parquet([row]))[0]
    assert (item.item_id, item.choices) == ("7", ("A", "B", "C", "D"))


REALWORLDQA = [
    (
        "Which way?\n\nA. Left\nB. Straight\nC. Right\nPlease answer with the letter only.",
        "B",
        ("Left", "Straight", "Right"),
    ),
    ("How many cars are there? Please answer with a number.", "3", ()),
    ("Is it open?\n\nA. Yes\nB. No", "Yes", ()),
]


def test_realworldqa(parquet):
    rows = [{"question": text, "answer": answer, "image": "red-0.png"} for text, answer, _ in REALWORLDQA]
    items, _ = read_published("realworldqa", parquet(rows))
    assert [item.choices for item in items] == [choices for _, _, choices in REALWORLDQA]
    assert [item.scoring_rule for item in items] == ["multiple_choice", "short_answer", "short_answer"]
    assert [item.category for item in items] == ["options", "open", "open"]


def test_ai2d(parquet):
    rows = [
        {"question": "Which?", "options": ["moss", "fern"], "answer": "1", "image": "red-0.png"},
        {"question": "And now?", "options": ["a", "b", "c"], "answer": "0", "image": "red-0.png"},
    ]
    items, _ = read_published("ai2d", parquet(rows))
    assert [(item.choices, item.answer) for item in items] == [(("moss", "fern"), "B"), (("a", "b", "c"), "A")]
    assert items[0].cluster_id == items[1].cluster_id
    with pytest.raises(DataError, match=r"row group 0, row 1: answer '2' is not the index of one of 2 options"):
        read_published("ai2d", parquet([rows[0], {**rows[0], "answer": "2"}]))


MMBENCH_COLUMNS = ["index", "question", "hint", "A", "B", "C", "D", "answer", "category", "image"]


def mmbench_tsv(tmp_path, pictures, rows):
    lines = ["\t".join(MMBENCH_COLUMNS)]
    for row in rows:
        picture = row["image"]
        cell = picture if picture.isdigit() else base64.b64encode(pictures[picture]).decode()
        lines.append("\t".join([*(row.get(name, "") for name in MMBENCH_COLUMNS[:-1]), cell]))
    path = tmp_path / "MMBench_DEV_EN.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


ROTATIONS = [
    {
        "index": "241",
        "question": "Which?",
        "A": "red",
        "B": "blue",
        "answer": "A",
        "category": "c",
        "image": "red-0.png",
    },
    {"index": "1000241", "question": "Which?", "A": "blue", "B": "red", "answer": "B", "image": "241"},
    {
        "index": "252",
        "question": '"Two\nlines?"',
        "hint": "Look.",
        "A": "green",
        "B": "blue",
        "C": "red",
        "answer": "B",
        "category": "d",
        "image": "blue-0.png",
    },
]


def test_mmbench(tmp_path, pictures):
    items, images = read_published("mmbench", mmbench_tsv(tmp_path, pictures, ROTATIONS))
    assert [(item.item_id, item.cluster_id, item.choices, item.answer) for item in items] == [
        ("241", "241", ("red", "blue"), "A"),
        ("1000241", "241", ("blue", "red"), "B"),
        ("252", "252", ("green", "blue", "red"), "B"),
    ]
    assert items[2].segments == (ImageRef(items[2].image_names[0]), "Look.\nTwo\nlines?")
    assert items[0].image_names == items[1].image_names
    assert [images[item.image_names[0]] for item in items] == [
        pictures[name] for name in ("red-0.png", "red-0.png", "blue-0.png")
    ]


def test_mmbench_as_parquet_with_nan(parquet):
    row = {**dict.fromkeys(MMBENCH_COLUMNS, "nan"), "index": 5, "question": "?", "A": "x", "B": "y", "answer": "B"}
    [item] = read_published("mmbench", parquet([{**row, "category": "c", "image": "red-0.png"}]))[0]
    assert (item.choices, item.segments[1]) == (("x", "y"), "?")
    with pytest.raises(DataError, match="an option is missing between others"):
        read_published("mmbench", parquet([{**row, "A": "nan", "C": "z", "image": "red-0.png"}]))


def test_circular_evaluation(tmp_path, pictures, evaluation):
    source = mmbench_tsv(tmp_path, pictures, ROTATIONS)
    import_benchmark(ImportConfig(source=source, format="mmbench", output=tmp_path / "mmb", task="mmbench_dev"))
    right, lazy = (
        evaluation(name, benchmark=tmp_path / "mmb", answerer=f"colour_answerer:{answerer}")
        for name, answerer in [("right", "ColourAnswerer"), ("lazy", "AlwaysA")]
    )
    evaluate(right)
    evaluate(lazy)
    clusters = [score(ScoreConfig(predictions=config.output, num_resamples=200)).clusters for config in (right, lazy)]
    assert [found.all_correct.accuracy for found in clusters if found is not None] == [1.0, 0.0]
    assert compare(CompareConfig(a=right.output, b=lazy.output)).num_clusters == 2


@pytest.mark.parametrize(("cell", "message"), [("999", "neither base64 nor another row's index"), ("241", "neither")])
def test_a_picture_that_points_nowhere(tmp_path, pictures, cell, message):
    with pytest.raises(DataError, match=message):
        read_published("mmbench", mmbench_tsv(tmp_path, pictures, [{**ROTATIONS[0], "image": cell}]))


def test_broken_base64_names_the_row(tmp_path, pictures):
    path = mmbench_tsv(tmp_path, pictures, ROTATIONS)
    path.write_text(path.read_text().replace(base64.b64encode(pictures["blue-0.png"]).decode(), "!" * 40))
    with pytest.raises(DataError, match=r"MMBench_DEV_EN.tsv, row 2: the picture is not base64"):
        read_published("mmbench", path)


def test_a_folder_of_parquet_files_is_read_in_order(parquet, tmp_path, pictures):
    parquet([pope_row(f"red-{index}.png", "yes") for index in range(5)], "test-00000-of-00002.parquet")
    parquet([pope_row("blue-0.png", "no")], "test-00001-of-00002.parquet")
    items, images = read_published("pope", tmp_path)
    assert [item.answer for item in items] == ["yes"] * 5 + ["no"]
    dataset = write_benchmark(tmp_path / "pope", "pope", items, images)
    assert Benchmark(dataset).image_bytes(3) == [pictures["red-3.png"]]


def test_raw_bytes_are_pictures_too(tmp_path, pictures):
    columns = {key: [value] for key, value in pope_row(pictures["red-0.png"], "yes").items()}
    pq.write_table(pa.table(columns), tmp_path / "raw.parquet")
    items, images = read_published("pope", tmp_path / "raw.parquet")
    assert images[items[0].image_names[0]] == pictures["red-0.png"]


def test_wrong_files_are_named(parquet, tmp_path):
    with pytest.raises(DataError, match=r"lacks the columns \['question', 'options', 'answer'\]"):
        read_published("ai2d", parquet([{"text": "x", "image": "red-0.png"}]))
    with pytest.raises(DataError, match="has no parquet files"):
        (tmp_path / "empty").mkdir()
        read_published("ai2d", tmp_path / "empty")
    with pytest.raises(DataError, match=r"none.parquet cannot be read"):
        read_published("ai2d", tmp_path / "none.parquet")
    with pytest.raises(DataError, match="row group 0, row 0: item 'random-0' has the answer 'maybe'"):
        read_published("pope", parquet([pope_row("red-0.png", "maybe")]))
    pq.write_table(pa.table({**{k: [v] for k, v in pope_row(None, "yes").items()}}), tmp_path / "blind.parquet")
    with pytest.raises(DataError, match="has no picture"):
        read_published("pope", tmp_path / "blind.parquet")


def test_every_format_can_be_named_in_a_configuration():
    assert sorted({*FORMATS, "jsonl"}) == sorted(get_args(SourceFormat))


MMBENCH_ROW = {**dict.fromkeys(MMBENCH_COLUMNS, ""), "index": "7", "question": "?", "A": "x", "B": "y", "answer": "B"}
MMSTAR_ROW = {"index": 7, "question": "Which?", "answer": "A", "category": "c", "l2_category": "x"}


@pytest.mark.parametrize(
    ("name", "row", "change", "message"),
    [
        (
            "ai2d",
            {"question": "?", "options": ["x", "y"], "answer": "0"},
            {"answer": "B"},
            "answer 'B' is not the index",
        ),
        ("ai2d", {"question": "?", "options": ["x", "y"], "answer": "0"}, {"options": None}, "one of 0 options"),
        ("ai2d", {"question": "?", "options": ["x", "y"], "answer": "0"}, {"options": ["x", ""]}, "an empty option"),
        ("mmbench", MMBENCH_ROW, {"index": "seven"}, "index is 'seven', expected a number"),
        ("mmbench", MMBENCH_ROW, {"answer": "C"}, "item '7' has the answer 'C', expected one of A, B"),
        ("mmbench", MMBENCH_ROW, {"B": "", "C": "z"}, "an option is missing between others"),
        ("mmstar", MMSTAR_ROW, {"answer": "E"}, "item '7' has the answer 'E', expected one of A, B, C, D"),
        ("pope", pope_row("red-0.png", "yes"), {"answer": ""}, "item 'random-4' has no answer"),
        ("realworldqa", {"question": "How many?", "answer": "3"}, {"answer": " "}, "item '4' has no answer"),
    ],
)
def test_a_malformed_row_is_named(parquet, name, row, change, message):
    rows = [{**row, "image": "red-0.png"}] * 4 + [{**row, "image": "blue-0.png", **change}]
    where = r"test-00000-of-00001\.parquet, row group 1, row 1: "  # three rows per group: the fifth row
    with pytest.raises(DataError, match=f"{where}.*{message}") as caught:
        read_published(name, parquet(rows))
    assert caught.value.hint
