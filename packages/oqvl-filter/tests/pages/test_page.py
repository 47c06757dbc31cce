from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from oqvl_filter import run
from oqvl_filter.config import DedupConfig, ReportConfig, ScoreConfig
from oqvl_filter.pages.page import read_scored_pool
from oqvl_filter.subset import open_subset
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import Dataset, open_dataset
from oqvl_shards.uid import uids_to_array

HOSTILE = '<script>alert("x")</script><img src=//evil.example/x onerror=alert(1)> "\' & \u202e{{ 7*7 }}'


class Reader(HTMLParser):
    """Collects what a browser would see: elements with their attributes, and the text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def pool(make_pool, pair, picture, plain_pairs, uid_of) -> Dataset:
    """Thirty pairs in two shards, an exact copy of one, and a caption and a key that are hostile."""
    pairs = plain_pairs(30)
    copy = pair("copy", pairs[0].image, "a copy", uid_of(100))
    hostile = pair('k"><script>', picture((200, 0, 0), (300, 3)), HOSTILE, uid_of(101))
    return make_pool([pairs[:15], [*pairs[15:], copy, hostile]], name="<b>pool</b>")


@pytest.fixture
def page(pool: Dataset, tmp_path: Path, uid_of) -> Reader:
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "rules"))
    np.save(tmp_path / "a.npy", uids_to_array(sorted(map(uid_of, range(20)))))
    np.save(tmp_path / "b.npy", uids_to_array(sorted(map(uid_of, range(5, 31)))))
    found = run.report(
        ReportConfig(
            pool=pool.path,
            scores={"rules": tmp_path / "rules"},
            subset=tmp_path / "a.npy",
            against=tmp_path / "b.npy",
            output=tmp_path / "report.html",
            pictures_per_row=4,
        )
    )
    assert (found.num_samples, found.num_selected) == (32, 20)
    reader = Reader()
    reader.feed((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert found.num_bytes == (tmp_path / "report.html").stat().st_size
    return reader


def test_foreign_text_stays_text(page: Reader):
    assert "script" not in {tag for tag, _ in page.elements}
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert HOSTILE.replace("\u202e", "�") in page.text
    assert '· k"><script> ·' in "".join(attributes.get("title") or "" for _, attributes in page.elements)
    assert "<b>pool</b>" in page.text


def test_the_page_loads_nothing(page: Reader):
    addresses = [
        value or "" for _, attributes in page.elements for name, value in attributes.items() if name in ("src", "href")
    ]
    assert len(addresses) > 40
    assert all(address.startswith(("data:image/jpeg;base64,", "#")) for address in addresses)
    assert not {"link", "iframe", "object", "embed", "form", "base"} & {tag for tag, _ in page.elements}
    policies = [a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_the_page_shows_the_difference_and_the_clusters(page: Reader):
    text = " ".join(page.text.split())
    assert "Both keep 15, neither keeps 2." in text
    assert "5 kept by the subset alone" in text
    assert "10 kept by the other one alone" in text
    assert "rules.content_sha" in text and ": 2 samples" in text
    assert "32 samples with a uid of their own; the subset keeps 20 (62.5%)" in text


def test_the_same_inputs_give_the_same_page(pool: Dataset, tmp_path: Path):
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "rules"))
    for name in ("one.html", "other.html"):
        run.report(ReportConfig(pool=pool.path, scores={"rules": tmp_path / "rules"}, output=tmp_path / name))
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "other.html").read_bytes()


def test_a_column_that_is_not_there_is_named(pool: Dataset, tmp_path: Path):
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "rules"))
    scores = {"rules": tmp_path / "rules"}
    with pytest.raises(ConfigError, match=r"rules\.magic"):
        run.report(ReportConfig(pool=pool.path, scores=scores, output=tmp_path / "r.html", columns=("rules.magic",)))


def test_the_numbers_are_the_scores(pool: Dataset, make_pool, plain_pairs, tmp_path: Path, uid_of):
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "rules"))
    rules = open_dataset(tmp_path / "rules")
    np.save(tmp_path / "a.npy", uids_to_array([uid_of(3)]))
    data = read_scored_pool(pool, {"r": rules}, open_subset(tmp_path / "a.npy"), None)
    assert data.selected.sum() == 1 and not data.against.any()
    assert sorted(data.numbers["r.width"].tolist())[-1] == 300
    assert pa.types.is_string(data.texts["r.content_sha"].type)
    with pytest.raises(ConfigError, match="of another pool"):
        read_scored_pool(make_pool([plain_pairs(2)], name="other"), {"r": rules}, None, None)


def test_clusters_of_dedup_are_shown(pool: Dataset, tmp_path: Path):
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "rules"))
    run.dedup(
        DedupConfig(
            pools=(pool.path,),
            scores={"rules": (tmp_path / "rules",)},
            output=tmp_path / "dedup",
            method="exact",
            column="rules.content_sha",
        )
    )
    scores = {"a": tmp_path / "dedup", "rules": tmp_path / "rules"}
    run.report(ReportConfig(pool=pool.path, scores=scores, output=tmp_path / "report.html"))
    assert "a.cluster" in (tmp_path / "report.html").read_text()
    with pytest.raises(ConfigError, match="none of the scores is of the whole pool"):
        run.report(ReportConfig(pool=pool.path, scores={"a": tmp_path / "dedup"}, output=tmp_path / "report.html"))
