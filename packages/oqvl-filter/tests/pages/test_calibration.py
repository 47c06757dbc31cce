from __future__ import annotations

import csv
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter import run
from oqvl_filter.config import CalibrateConfig, ScoreConfig
from oqvl_filter.interval import wilson_interval
from oqvl_filter.pages.calibration import Judged, draw_sample, precision, read_labels, recall, weigh
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.uid import uids_to_array


@pytest.mark.parametrize(
    # Newcombe, 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    ("good", "count", "interval"),
    [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0.0000, 0.1611)), (1, 29, (0.0061, 0.1718))],
)
def test_intervals_are_wilsons(good: int, count: int, interval: tuple[float, float]):
    assert wilson_interval(good / count, count) == pytest.approx(interval, abs=5e-5)


@given(st.floats(0, 1), st.floats(0.5, 1e6))
def test_an_interval_holds_its_share(share: float, count: float):
    low, high = wilson_interval(share, count)
    assert 0 <= low <= share + 1e-9 and share - 1e-9 <= high <= 1


def test_every_tenth_gives_as_many_samples(uid_of):
    uids = uids_to_array([uid_of(n) for n in range(95)])
    scores = np.linspace(0, 1, 95)
    scores[::19] = np.nan
    drawn = draw_sample(scores, uids, 3, seed=0)
    assert np.bincount([decile for _, decile in drawn]).tolist() == [3] * 10
    assert not np.isnan(scores[[row for row, _ in drawn]]).any()
    deciles = [decile for _, decile in drawn]
    assert deciles != sorted(deciles)
    assert draw_sample(scores, uids, 3, seed=0) == drawn
    assert draw_sample(scores, uids, 3, seed=1) != drawn
    assert len(draw_sample(scores, uids, 1000, seed=0)) == 90


def test_a_judged_sample_stands_for_its_share_of_the_pool():
    """A pool of 100 with scores 0 to 99, good from 50 up; the top tenth is judged in full, the others once each."""
    scores = np.arange(100.0)
    names = [f"{n:032x}" for n in range(100)]
    labels = {names[n]: n >= 50 for n in [5, 15, 25, 35, 45, 55, 65, 75, 85, *range(90, 100)]}
    judged = weigh(scores, names, labels)
    assert sorted(judged.weights_J.tolist()) == [1.0] * 10 + [10.0] * 9
    found = precision(judged, 0)
    assert found is not None and found.value == pytest.approx(0.5)
    found = recall(judged, 60)
    assert found is not None and found.value == pytest.approx(40 / 50)
    assert precision(judged, 1000) is None
    assert recall(Judged(scores, np.ones(100), np.zeros(100, dtype=bool)), 0) is None


def test_labels_of_something_else_are_refused():
    scores, names = np.array([*np.arange(20.0), np.nan]), [f"{n:032x}" for n in range(21)]
    with pytest.raises(DataError, match="1 samples are judged, 0 of them"):
        weigh(scores, names, {"f" * 32: True})
    with pytest.raises(DataError, match="1 samples are judged, 0 of them"):
        weigh(scores, names, {names[20]: True})
    with pytest.raises(DataError, match=r"no sample of the deciles \[1, 2, 3, 4, 5, 6, 7, 8, 9\] is judged"):
        weigh(scores, names, {names[0]: True})


def test_labels_are_read_as_people_write_them(tmp_path: Path):
    path = tmp_path / "labels.csv"
    path.write_text("\ufeffnumber,uid,decile,label\n1,a,0,1\n2,b,0, Bad \n3,c,0,\n4,d,0,y\n", encoding="utf-8")
    assert read_labels(path) == {"a": True, "b": False, "d": True}
    path.write_text("number,uid,decile,label\n1,a,0,perhaps\n")
    with pytest.raises(ConfigError, match=r"labels.csv:2: found the label 'perhaps'"):
        read_labels(path)
    with pytest.raises(ConfigError, match="is not a table of labels"):
        read_labels(tmp_path / "none.csv")
    path.write_text("label\n1\n")
    with pytest.raises(ConfigError, match="is not a table of labels"):
        read_labels(path)


class Reader(HTMLParser):
    """Collects elements and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def test_from_a_sample_over_labels_to_thresholds(make_pool, pair, picture, uid_of, tmp_path: Path):
    """Wide pictures are good; the thresholds say so."""
    pairs = [pair(f"{n:03d}", picture((n, n, n), (20 + n, 10)), f"<b>{n}</b><script>", uid_of(n)) for n in range(100)]
    pool = make_pool([pairs[:60], pairs[60:]])
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "rules"))

    def config(**changes) -> CalibrateConfig:
        return CalibrateConfig(
            pools=(pool.path,),
            scores={"rules": (tmp_path / "rules",)},
            output=tmp_path / "c",
            per_decile=4,
            column="width",
            **changes,
        )

    report = run.calibrate(config())
    assert report.num_drawn == 40
    assert "fill in" in report.table()
    reader = Reader()
    reader.feed((tmp_path / "c" / "page.html").read_text())
    assert reader.tags.count("img") == 40
    assert "script" not in reader.tags and "<script>" in reader.text
    with (tmp_path / "c" / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40 and {row["label"] for row in rows} == {""}
    widths = {uid_of(n): 20 + n for n in range(100)}
    with (tmp_path / "done.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({**row, "label": int(widths[row["uid"]] >= 70)} for row in rows)
    filled = (tmp_path / "done.csv").read_bytes()
    assert run.calibrate(config()).num_drawn == 40  # nobody has labelled anything yet
    (tmp_path / "c" / "labels.csv").write_bytes(filled)
    with pytest.raises(ConfigError, match="holds 40 labels"):
        run.calibrate(config(seed=1))
    assert (tmp_path / "c" / "labels.csv").read_bytes() == filled
    report = run.calibrate(config(labels=tmp_path / "c" / "labels.csv"))
    assert (report.num_judged, len(report.thresholds)) == (40, 10)
    lowest, middle = report.thresholds[0], report.thresholds[5]
    assert lowest.kept == 1 and lowest.recall is not None and lowest.recall[0] == 1
    assert lowest.precision is not None and lowest.precision[0] == pytest.approx(0.5, abs=0.03)
    assert middle.precision is not None and middle.precision[0] == 1 and middle.precision[1] < 0.9
    assert "precision" in report.table()
    with pytest.raises(ConfigError, match="found 'magic', expected a column"):
        run.calibrate(config().model_copy(update={"column": "magic"}))
    with pytest.raises(ConfigError, match=r"column: rules\.content_sha does not hold numbers"):
        run.calibrate(config().model_copy(update={"column": "rules.content_sha"}))
