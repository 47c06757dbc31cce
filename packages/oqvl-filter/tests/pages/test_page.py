from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from oqvl_filter import run
from oqvl_filter.config import DedupConfig, ImportCsvConfig, PageConfig, ScoreConfig
from oqvl_filter.pages.page import Inputs, assemble_page
from oqvl_filter.pages.scored_samples import read_scored_samples
from oqvl_filter.paths import open_scores
from oqvl_shards.dataset import Dataset, open_dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.uid import array_to_uids, uids_to_array

HOSTILE = '<script>alert("x")</script><img src=//evil.example/x onerror=alert(1)> "\' & \u202e{{ 7*7 }}'


class Reader(HTMLParser):
    """Collects what a browser would see: elements with their attributes, and the text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.text += " " if tag in ("td", "th") else ""

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
    found = run.page(
        PageConfig(
            pools=(pool.path,),
            scores={"rules": (tmp_path / "rules",)},
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
    assert addresses and all(address.startswith("#") for address in addresses)
    pictures = re.findall(r"url\(([^)]*)\)", page.text)
    assert len(pictures) == 32  # each once, however often it is shown
    assert all(re.fullmatch(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", picture) for picture in pictures)
    shown = [attributes.get("class") for _, attributes in page.elements if attributes.get("role") == "img"]
    assert len(shown) > 40
    assert not {"link", "iframe", "object", "embed", "form", "base", "img"} & {tag for tag, _ in page.elements}
    policies = [a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_the_page_shows_the_difference_and_the_groups(page: Reader):
    text = " ".join(page.text.split())
    assert "Both keep 15, neither keeps 2." in text
    assert "5 kept by the subset alone" in text
    assert "10 kept by the other one alone" in text
    assert "rules.content_sha" in text and "2 samples: " in text
    assert "32 samples, each uid counted once; the subset keeps 20 (62.5%)" in text


def report_on(output: Path, pools: Sequence[Dataset], scores: dict, **values) -> str:
    """Write a page and return its text, spaces joined."""
    config = {"pools": [pool.path for pool in pools], "scores": scores, "output": output, **values}
    run.page(PageConfig.from_values(config))
    reader = Reader()
    reader.feed(output.read_text(encoding="utf-8"))
    return " ".join(reader.text.split())


@pytest.fixture
def two_pools(pool: Dataset, make_pool, plain_pairs, tmp_path: Path) -> tuple[list[Dataset], dict]:
    """Two pools, five of whose samples are in both, their scores, and an imported column about some samples."""
    pools = [pool, make_pool([plain_pairs(10, start=25)], "other")]
    for each in pools:
        run.score(ScoreConfig(pool=each.path, output=tmp_path / f"rules-{each.path.name}"))
    uids = read_scored_samples([], {"r": [open_dataset(tmp_path / "rules-other")]}).candidates.uids
    lines = [f"{uid},{number * number}" for number, uid in enumerate(array_to_uids(uids))]
    (tmp_path / "scores.csv").write_text("\n".join(["uid,beauty", *lines, f"{'f' * 32},7"]))
    run.import_scores(ImportCsvConfig(source=tmp_path / "scores.csv", output=tmp_path / "csv", name="csv"))
    return pools, {"rules": [tmp_path / f"rules-{each.path.name}" for each in pools], "csv": tmp_path / "csv"}


def test_several_pools_are_sources(two_pools, tmp_path: Path, uid_of):
    pools, scores = two_pools
    np.save(tmp_path / "a.npy", uids_to_array([uid_of(n) for n in (0, 1, 34)]))
    text = report_on(tmp_path / "r.html", pools, scores, subset=tmp_path / "a.npy", columns=["beauty", "rules.width"])
    assert "37 samples, each uid counted once; the subset keeps 3" in text
    assert "<b>pool</b> 32 2 6.2%" in text and "other 5 1 20.0%" in text
    assert "scores.rules (other.rules)" in text
    assert "27 without a value" in text  # of the imported column
    assert "64 to 81" not in text and "81 to 81" in text  # deciles of ten values


def test_scores_alone_make_a_page_without_pictures(two_pools, tmp_path: Path):
    text = report_on(tmp_path / "r.html", [], {"csv": two_pools[1]["csv"]})
    assert "11 samples, each uid counted once" in text
    assert "csv.beauty" in text and "Samples by decile" not in text


def test_the_same_inputs_give_the_same_page(pool: Dataset, tmp_path: Path):
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "rules"))
    for name in ("one.html", "other.html"):
        report_on(tmp_path / name, [pool], {"rules": tmp_path / "rules"})
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "other.html").read_bytes()


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        ("rules.magic", "columns: found 'rules.magic'"),
        ("content_sha", "columns: rules.content_sha does not hold numbers"),
    ],
)
def test_a_column_that_cannot_be_shown_is_named(pool: Dataset, tmp_path: Path, column: str, problem: str):
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "rules"))
    with pytest.raises(ConfigError, match=problem):
        report_on(tmp_path / "r.html", [pool], {"rules": tmp_path / "rules"}, columns=[column])


def test_what_dedup_has_found_is_pictured(pool: Dataset, make_benchmark, picture, tmp_path: Path):
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "rules"))
    benchmark = make_benchmark({"q<1>": [picture((200, 0, 0), (300, 3))], "q2": [picture((3, 3, 3))]})
    common = {
        "pools": [pool.path],
        "scores": {"rules": tmp_path / "rules"},
        "method": "exact",
        "column": "rules.content_sha",
    }
    run.dedup(DedupConfig.from_values({**common, "output": tmp_path / "dedup"}))
    run.dedup(DedupConfig.from_values({**common, "output": tmp_path / "seen", "against": {"bench": benchmark.path}}))
    scores = {name: tmp_path / name for name in ("dedup", "rules", "seen")}
    text = report_on(tmp_path / "r.html", [pool], scores, benchmarks={"bench": benchmark.path})
    assert "1 clusters by their digest: one representative each, and 1 copies." in text
    assert "1 samples match by their digest." in text
    assert "bench · q<1>" in text
    assert "dedup.cluster_size" not in text
    with pytest.raises(ConfigError, match=r"benchmarks\.other .* is not what dedup looked for as against\.other"):
        report_on(tmp_path / "r.html", [pool], scores, benchmarks={"other": benchmark.path})
    with pytest.raises(ConfigError, match="no scores of the pool"):
        report_on(tmp_path / "r.html", [pool], {"dedup": tmp_path / "dedup"})


def test_columns_are_compared_with_each_other_and_with_themselves(pool: Dataset, tmp_path: Path):
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "rules"))
    scores = {"rules": [tmp_path / "rules"]}
    config = PageConfig.from_values({"scores": scores, "output": tmp_path / "p.html", "pictures_per_row": 2})
    inputs = Inputs(pools=[pool], scores=open_scores(scores), subset=None, against=None, benchmarks={})
    content = assemble_page(config, inputs)
    assert content.num_selected is None and content.difference is None
    for matrix in (content.correlations, content.overlaps):
        assert matrix.names == content.graded
        for row, name in enumerate(matrix.names):
            assert matrix.rows[row][row] == pytest.approx(1), name
            assert [matrix.rows[other][row] for other in range(len(matrix.names))] == list(matrix.rows[row])
    shown = {tile.place for panel in content.deciles for strip in panel.strips for tile in strip.tiles}
    assert shown <= content.pictures.keys()
    assert assemble_page(config, inputs).pictures == content.pictures
