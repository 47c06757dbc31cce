"""Precision and recall by hand, in fractions; and the table that people fill in."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oqvl_filter.interval import wilson_interval
from oqvl_filter.pages.calibration import (
    Judged,
    draw_sample,
    measure_thresholds,
    precision,
    read_labels,
    recall,
    weigh,
    write_sample,
)
from oqvl_filter.pages.gallery import Picture
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.uid import uids_to_array

judgements = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 8), st.booleans()), min_size=1, max_size=20)


def judged_of(rows: list[tuple[int, int, bool]]) -> Judged:
    return Judged(
        np.array([score for score, _, _ in rows], dtype=np.float64),
        np.array([weight for _, weight, _ in rows], dtype=np.float64),
        np.array([is_good for _, _, is_good in rows], dtype=bool),
    )


def share_of(hits: list[int], weights: list[int]) -> Fraction | None:
    return Fraction(sum(hits), sum(weights)) if weights else None


@given(judgements, st.integers(-1, 10))
def test_precision_and_recall_are_shares_of_weights(rows: list[tuple[int, int, bool]], threshold: int):
    judged = judged_of(rows)
    kept = [(weight, is_good) for score, weight, is_good in rows if score >= threshold]
    expected = share_of([weight for weight, is_good in kept if is_good], [weight for weight, _ in kept])
    measured = precision(judged, threshold)
    assert (None if measured is None else measured.value) == (
        None if expected is None else pytest.approx(float(expected))
    )
    good = [(weight, score) for score, weight, is_good in rows if is_good]
    expected = share_of([weight for weight, score in good if score >= threshold], [weight for weight, _ in good])
    measured = recall(judged, threshold)
    assert (None if measured is None else measured.value) == (
        None if expected is None else pytest.approx(float(expected))
    )


@given(judgements)
def test_the_interval_is_wilsons_on_kishs_effective_size(rows: list[tuple[int, int, bool]]):
    weights = [weight for _, weight, _ in rows]
    effective = Fraction(sum(weights) ** 2, sum(weight * weight for weight in weights))
    assert 1 <= effective <= len(rows)
    measured = precision(judged_of(rows), 0)
    assert measured is not None
    assert (measured.low, measured.high) == pytest.approx(wilson_interval(measured.value, float(effective)))
    assert measured.low <= measured.value + 1e-12 and measured.value <= measured.high + 1e-12


@given(judgements, st.integers(1, 50))
def test_weights_count_by_their_ratios_alone(rows: list[tuple[int, int, bool]], factor: int):
    scaled = [(score, weight * factor, is_good) for score, weight, is_good in rows]
    first, second = precision(judged_of(rows), 3), precision(judged_of(scaled), 3)
    assert (first is None) == (second is None)
    if first is not None and second is not None:
        assert (second.value, second.low, second.high) == pytest.approx((first.value, first.low, first.high))


@given(judgements)
def test_recall_falls_as_the_threshold_rises(rows: list[tuple[int, int, bool]]):
    shares = [recall(judged_of(rows), threshold) for threshold in range(11)]
    values = [share.value for share in shares if share is not None]
    assert values == sorted(values, reverse=True)
    assert len(values) in (0, 11)
    if values:
        assert values[0] == 1 and values[-1] == 0


@settings(max_examples=30)
@given(st.integers(10, 60), st.data())
def test_the_weights_of_a_tenth_add_up_to_its_size(num_samples: int, data: st.DataObject):
    """With an interleaved order of scores, so that rows and ranks differ."""
    scores = np.array([(number * 37) % num_samples for number in range(num_samples)], dtype=np.float64)
    scores = scores + 0.001 * np.arange(num_samples)
    ranks = np.argsort(np.argsort(scores)).tolist()
    tenths = [int(Fraction(10 * rank, num_samples)) for rank in ranks]
    names = [f"{number:032x}" for number in range(num_samples)]
    judged_rows = [tenths.index(tenth) for tenth in range(10)]
    judged_rows += data.draw(st.lists(st.integers(0, num_samples - 1), max_size=10))
    judged_rows = sorted(set(judged_rows))
    judged = weigh(scores, names, {names[row]: row % 2 == 0 for row in reversed(judged_rows)})
    assert judged.scores_J.tolist() == scores[judged_rows].tolist()
    assert judged.is_good_J.tolist() == [row % 2 == 0 for row in judged_rows]
    for tenth in range(10):
        members = [place for place, row in enumerate(judged_rows) if tenths[row] == tenth]
        assert judged.weights_J[members].sum() == pytest.approx(tenths.count(tenth))
        assert len(set(judged.weights_J[members].tolist())) == 1


def test_a_sample_in_proportion_to_nothing_is_right_on_average():
    """Precision over many draws: 7 of 10 in the best tenth and 1 of 10 in the others are good."""
    scores = np.arange(100.0)
    is_good = np.array([row % 10 < (7 if row >= 90 else 1) for row in range(100)])
    uids = uids_to_array([f"{row:032x}" for row in range(100)])
    names = [f"{row:032x}" for row in range(100)]
    values = []
    for seed in range(200):
        drawn = draw_sample(scores, uids, 3, seed)
        share = precision(weigh(scores, names, {names[row]: bool(is_good[row]) for row, _ in drawn}), 0)
        assert share is not None
        values.append(share.value)
    # The mean of 200 draws; each has a standard deviation of about 0.05.
    assert np.mean(values) == pytest.approx(is_good.mean(), abs=0.015)
    assert np.std(values) > 0.01


def test_thresholds_are_the_minimum_and_the_deciles():
    scores = np.array([*range(101), np.nan], dtype=np.float64)
    judged = Judged(np.array([0.0, 100.0]), np.array([1.0, 1.0]), np.array([False, True]))
    rows = measure_thresholds(judged, scores)
    assert [row.threshold for row in rows] == list(range(0, 100, 10))
    assert [row.kept for row in rows] == pytest.approx([(101 - threshold) / 101 for threshold in range(0, 100, 10)])
    assert rows[0].precision is not None and rows[0].precision[0] == 0.5
    assert rows[1].precision is not None and rows[1].precision[0] == 1
    assert {row.recall[0] for row in rows if row.recall} == {1}


def test_equal_scores_give_one_threshold():
    judged = Judged(np.array([5.0]), np.array([1.0]), np.array([False]))
    (row,) = measure_thresholds(judged, np.full(30, 5.0))
    assert (row.threshold, row.kept, row.recall) == (5, 1, None)
    assert row.precision is not None and row.precision[0] == 0


def picture_of(row: int) -> Picture:
    return Picture("pool", "0.tar", f"k{row}", f"caption, {row}", "", "", uid=f"{row:032x}")


def test_the_table_to_fill_in_is_in_the_order_of_the_page(tmp_path: Path):
    drawn = [(7, 3), (2, 0), (9, 9)]
    write_sample(tmp_path, "<title>", drawn, {row: picture_of(row) for row in (2, 7, 9)})
    with (tmp_path / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["number"], row["uid"], row["decile"]) for row in rows] == [
        ("1", f"{7:032x}", "3"),
        ("2", f"{2:032x}", "0"),
        ("3", f"{9:032x}", "9"),
    ]
    page = (tmp_path / "page.html").read_text()
    assert page.index("caption, 7") < page.index("caption, 2") < page.index("caption, 9")
    assert "<title>&lt;title&gt;" in page.replace("\n", "") or "&lt;title&gt;" in page
    assert read_labels(tmp_path / "labels.csv") == {}


def test_one_label_is_enough_to_protect_a_table(tmp_path: Path):
    drawn = [(1, 0), (2, 5)]
    pictures = {row: picture_of(row) for row in (1, 2)}
    write_sample(tmp_path, "t", drawn, pictures)
    path = tmp_path / "labels.csv"
    path.write_text(path.read_text().replace(f"{2:032x},5,", f"{2:032x},5,no"))
    filled, page = path.read_bytes(), (tmp_path / "page.html").read_bytes()
    with pytest.raises(ConfigError, match="holds 1 labels, which a new sample would replace") as error:
        write_sample(tmp_path, "t", drawn[:1], pictures)
    assert f"labels={path}" in error.value.hint
    assert (path.read_bytes(), (tmp_path / "page.html").read_bytes()) == (filled, page)


@given(st.lists(st.sampled_from(["1", "0", "good", "BAD", " Yes", "n ", "", "  "]), max_size=8))
def test_labels_are_read_by_uid_and_empty_ones_left_out(tmp_path_factory, labels: list[str]):
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    lines = [f'{number},{number:032x},0,"{label}"' for number, label in enumerate(labels)]
    path.write_text("\r\n".join(["number,uid,decile,label", *lines]))
    expected = {
        f"{number:032x}": label.strip().lower() in ("1", "good", "yes")
        for number, label in enumerate(labels)
        if label.strip()
    }
    assert read_labels(path) == expected


@given(st.binary(max_size=60))
def test_any_bytes_are_labels_or_named(tmp_path_factory, content: bytes):
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    path.write_bytes(b"uid,label\n" + content)
    try:
        labels = read_labels(path)
    except ConfigError as error:
        assert str(path) in error.message and error.hint
    else:
        assert all(isinstance(label, bool) for label in labels.values())


@pytest.mark.parametrize("missing", [0, 4, 9])
def test_a_tenth_without_a_judgement_is_named(missing: int):
    scores, names = np.arange(50.0), [f"{row:032x}" for row in range(50)]
    labels = {names[5 * tenth]: True for tenth in range(10) if tenth != missing}
    with pytest.raises(DataError, match=rf"no sample of the deciles \[{missing}\] is judged") as error:
        weigh(scores, names, labels)
    assert error.value.hint == "fill in some labels of each decile"
