from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest

from oqvl_filter import run
from oqvl_filter.config import CalibrateConfig, PageConfig, ScoreConfig
from oqvl_filter.pages import run as pages_run
from oqvl_filter.pages.run import page
from oqvl_shards.claim import claim
from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import ConfigError, MissingExtraError


@pytest.fixture
def pool(make_pool, plain_pairs, tmp_path: Path) -> Dataset:
    pool = make_pool([plain_pairs(12), plain_pairs(12, start=12)])
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "rules"))
    return pool


def calibrate(pool: Dataset, output: Path, **values):
    config = {"pools": pool.path, "scores": {"r": pool.path.parent / "rules"}, "column": "width", "output": output}
    return pages_run.calibrate(CalibrateConfig.from_values({**config, **values}))


def test_the_same_scores_give_the_same_sample(pool: Dataset, tmp_path: Path):
    for name in ("one", "other"):
        assert calibrate(pool, tmp_path / name, per_decile=1).num_drawn == 10
    assert (tmp_path / "one" / "labels.csv").read_bytes() == (tmp_path / "other" / "labels.csv").read_bytes()
    calibrate(pool, tmp_path / "seed", per_decile=1, seed=1)
    assert (tmp_path / "seed" / "labels.csv").read_bytes() != (tmp_path / "one" / "labels.csv").read_bytes()


def test_all_good_labels_make_precision_one_and_recall_the_share_that_is_kept(pool: Dataset, tmp_path: Path):
    calibrate(pool, tmp_path / "j", per_decile=100)
    path = tmp_path / "j" / "labels.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({**row, "label": "good"} for row in rows)
    report = calibrate(pool, tmp_path / "j", labels=path)
    assert report.num_judged == 24
    for row in report.thresholds:
        assert row.precision is not None and row.recall is not None
        assert row.precision[0] == 1
        assert row.recall[0] == pytest.approx(row.kept)
    assert report.thresholds[0].kept == 1


def test_a_column_of_text_has_no_thresholds(pool: Dataset, tmp_path: Path):
    with pytest.raises(ConfigError, match="does not hold numbers") as error:
        calibrate(pool, tmp_path / "j", column="caption_sha")
    assert "r.width" in error.value.hint


def test_a_page_without_its_extra_is_named(pool: Dataset, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    config = PageConfig.from_values({"scores": {"r": tmp_path / "rules"}, "output": tmp_path / "p.html"})
    with pytest.raises(MissingExtraError, match="report"):
        page(config)
    assert not (tmp_path / "p.html").exists()


def test_a_page_without_pools_has_no_pictures(pool: Dataset, tmp_path: Path):
    config = PageConfig.from_values({"scores": {"r": tmp_path / "rules"}, "output": tmp_path / "p.html"})
    report = page(config)
    text = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert (report.num_samples, report.num_selected) == (24, None)
    assert report.num_bytes == (tmp_path / "p.html").stat().st_size
    assert "data:image/jpeg" not in text
    assert "r.width" in text


def test_a_second_draw_into_one_folder_is_refused_while_the_first_is_written(pool: Dataset, tmp_path: Path):
    (tmp_path / "j").mkdir()
    with (
        claim(tmp_path / "j", "oqvl-filter calibrate"),
        pytest.raises(ConfigError, match="is being written by oqvl-filter calibrate"),
    ):
        calibrate(pool, tmp_path / "j")
    assert list((tmp_path / "j").iterdir()) == []
