"""The parts of a page, from columns in memory, against counting by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oqvl_filter.candidates import Candidates
from oqvl_filter.config import PageConfig
from oqvl_filter.pages import page as pages
from oqvl_filter.pages.scored_samples import ScoredSamples
from oqvl_filter.pages.strip import Strip
from oqvl_filter.subset import Subset
from oqvl_shards.config import StageConfig
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import Account, ImageTextDetails, Lineage, Manifest, SubsetDetails
from oqvl_shards.uid import UID_DTYPE

Value = float | None
rows_strategy = st.lists(
    st.tuples(st.none() | st.integers(-4, 4), st.none() | st.sampled_from("xyz"), st.integers(0, 1), st.integers(0, 3)),
    min_size=1,
    max_size=25,
)


def samples_of(rows: list[tuple[Value, str | None, int, int]]) -> ScoredSamples:
    """Samples with a number, a text, a source, and two bits: kept by the subset, kept by the other one."""
    count = len(rows)
    uids = np.array([(number, 0) for number in range(count)], dtype=UID_DTYPE)
    codes = np.array([source for _, _, source, _ in rows], dtype=np.int16)
    return ScoredSamples(
        candidates=Candidates(uids, ("one", "two"), codes, {}, (count,)),
        numbers={"a.n": np.array([np.nan if value is None else value for value, _, _, _ in rows], dtype=np.float64)},
        texts={"a.t": pa.array([text for _, text, _, _ in rows], pa.string())},
        selected=np.array([bool(bits & 1) for _, _, _, bits in rows]),
        against=np.array([bool(bits & 2) for _, _, _, bits in rows]),
        order=np.array([(number * 7 + 3) % count for number in range(count)])
        if np.gcd(7, count) == 1
        else np.arange(count)[::-1].copy(),
    )


def config_of(**values) -> PageConfig:
    return PageConfig.from_values({"scores": {"a": ["a"]}, "output": "p.html", **values})


def manifest_of(details, name: str = "subset") -> Manifest:
    return Manifest(
        name=name,
        details=details,
        shards=(),
        account=Account(num_in=0, num_kept=0),
        lineage=Lineage.derive("test", "0", StageConfig()),
    )


def subset_of(rule: str | None) -> Subset:
    details = None if rule is None else SubsetDetails(rule=rule, num_pool=9)
    return Subset((), "0" * 64, None if details is None else manifest_of(details))


def places(strip: Strip) -> list[int]:
    return [tile.place for tile in strip.tiles if isinstance(tile.place, int)]


@settings(max_examples=50)
@given(rows_strategy)
def test_a_source_is_counted_with_the_median_of_its_values(rows):
    data = samples_of(rows)
    sources = list(pages._sources(data, ["a.n"]))
    assert [source.name for source in sources] == ["one", "two"]
    for code, source in enumerate(sources):
        own = [row for row in rows if row[2] == code]
        assert (source.num_samples, source.num_selected) == (len(own), sum(row[3] & 1 for row in own))
        values = sorted(row[0] for row in own if row[0] is not None)
        middle = len(values) // 2
        median = None if not values else (values[middle] + values[~middle]) / 2
        assert list(source.medians) == [median]


@settings(max_examples=50)
@given(rows_strategy, st.integers(1, 4))
def test_a_decile_shows_its_own_samples_with_their_values(rows, num_pictures: int):
    data = samples_of(rows)
    panel = pages._decile_panel("a.n", data, num_pictures)
    known = sorted(value for value, _, _, _ in rows if value is not None)
    shown = [place for strip in panel.strips for place in places(strip)]
    assert len(set(shown)) == len(shown)
    assert all(len(strip.tiles) <= num_pictures for strip in panel.strips)
    lows, highs = [], []
    for strip in panel.strips:
        low, _, high = strip.title.partition(" to ")
        for tile in strip.tiles:
            assert isinstance(tile.place, int)
            assert float(low) <= float(tile.note) <= float(high)
            assert float(tile.note) == rows[tile.place][0]
        lows.append(float(low))
        highs.append(float(high))
    assert len(panel.strips) == min(len(known), 10)
    assert highs == sorted(highs, reverse=True) and lows == sorted(lows, reverse=True)
    if known:
        assert (lows[-1], highs[0]) == (known[0], known[-1])


@settings(max_examples=50)
@given(rows_strategy, st.integers(1, 3))
def test_a_difference_divides_the_samples_into_four(rows, pictures_per_row: int):
    data = samples_of(rows)
    config = config_of(pictures_per_row=pictures_per_row)
    difference = pages._difference(subset_of("clip > 1"), subset_of(None), data, config)
    bits = [row[3] for row in rows]
    assert (difference.num_both, difference.num_neither) == (bits.count(3), bits.count(0))
    assert (difference.rule, difference.against_rule) == ("clip > 1", "a list of uids")
    for strip, only in zip(difference.strips, (1, 2), strict=True):
        count = bits.count(only)
        assert strip.title.startswith(f"{count} kept by ")
        assert len(strip.tiles) == min(count, 2 * pictures_per_row)
        assert {bits[place] for place in places(strip)} <= {only}


def test_a_subset_alone_differs_from_nothing():
    data = samples_of([(1, "x", 0, 1), (2, "x", 0, 0)])
    difference = pages._difference(subset_of("all"), None, data, config_of())
    assert difference.against_rule == "nothing"
    assert [len(strip.tiles) for strip in difference.strips] == [1, 0]


@settings(max_examples=50)
@given(rows_strategy, st.integers(0, 3))
def test_the_largest_groups_of_a_text_are_shown_first(rows, num_groups: int):
    panel = pages._group_panel("a.t", samples_of(rows), num_groups)
    texts = [row[1] for row in rows]
    sizes = sorted((texts.count(text) for text in "xyz" if texts.count(text) > 1), reverse=True)
    assert [int(strip.title.partition(" ")[0]) for strip in panel.strips] == sizes[:num_groups]
    for strip in panel.strips:
        text = strip.title[-1]
        members = [row for row, value in enumerate(texts) if value == text]
        assert places(strip) == members[:8]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\u202eb", "a\ufffdb"), ("x" * 40, "x" * 16), ("two\nlines", "two lines"), ("<b>", "<b>"), ("\x00", "\ufffd")],
)
def test_a_foreign_text_in_a_title_prints(text: str, shown: str):
    data = replace(samples_of([(None, None, 0, 0)] * 3), texts={"a.t": pa.array([text, text, None])})
    (strip,) = pages._group_panel("a.t", data, 5).strips
    assert strip.title == f"2 samples: {shown}"


@settings(max_examples=50)
@given(rows_strategy)
def test_bars_are_as_high_as_their_counts(rows):
    data = samples_of(rows)
    chart = pages._chart("a.n", data.numbers["a.n"], data.selected)
    known = [row for row in rows if row[0] is not None]
    if chart is None:
        assert not known
        return
    assert chart.num_missing == len(rows) - len(known)
    counts = chart.histogram.counts
    assert sum(counts) == len(known)
    assert max(height for height, _, _, _ in chart.bars) == 100
    for count, marked, (height, marked_height, left, text) in zip(
        counts, chart.histogram.marked, chart.bars, strict=True
    ):
        assert height == pytest.approx(100 * count / max(counts))
        assert marked_height == pytest.approx(100 * marked / max(counts))
        assert 0 <= left < 400
        assert text.endswith(f": {count}, {marked} selected" if data.selected.any() else f": {count}")


def test_a_matrix_compares_each_pair_once():
    calls: list[tuple[float, float]] = []

    def compare(one: np.ndarray, other: np.ndarray) -> float:
        calls.append((float(one[0]), float(other[0])))
        return 10 * min(one[0], other[0]) + max(one[0], other[0])

    columns = {name: np.array([number], dtype=np.float64) for number, name in enumerate("abc", start=1)}
    matrix = pages._matrix(columns, compare)
    assert list(matrix.names) == ["a", "b", "c"]
    assert [list(row) for row in matrix.rows] == [[11, 12, 13], [12, 22, 23], [13, 23, 33]]
    assert len(calls) == 6


@pytest.mark.parametrize(
    ("subset", "text"),
    [
        (subset_of("su >= 85 then one per sha"), "su >= 85 then one per sha"),
        (subset_of(None), "a list of uids"),
        (Subset((), "0" * 64, manifest_of(ImageTextDetails())), "a list of uids"),
    ],
)
def test_a_subset_is_called_by_its_rule(subset: Subset, text: str):
    assert pages._rule_of(subset) == text


@settings(max_examples=50)
@given(rows_strategy, st.integers(0, 30))
def test_random_picks_follow_one_order(rows, count: int):
    data = samples_of(rows)
    mask = data.selected
    picked = data.first(mask, count)
    order = data.order.tolist()
    assert picked == [row for row in order if mask[row]][:count]
    assert data.first(mask, count + 1)[: len(picked)] == picked


@given(st.lists(st.none() | st.integers(0, 3), max_size=12))
def test_a_column_is_graded_if_it_has_more_than_two_values(values: list[int | None]):
    data = samples_of([(value, None, 0, 0) for value in values] or [(None, None, 0, 0)])
    distinct = {value for value in values if value is not None}
    assert data.graded == (["a.n"] if len(distinct) > 2 else [])


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"output": "page.htm"}, r"\.html"),
        ({"against": "b.npy"}, "found against without subset"),
        ({"top_fraction": 0}, "top_fraction"),
        ({"top_fraction": 1}, "top_fraction"),
        ({"pictures_per_row": 0}, "pictures_per_row"),
        ({"num_clusters": -1}, "num_clusters"),
        ({"scores": {}}, "scores"),
        ({"seed": 2**64}, "seed"),
    ],
)
def test_what_a_page_cannot_be_of_is_refused(values: dict, problem: str):
    with pytest.raises(ConfigError, match=problem):
        config_of(**values)
    assert config_of(subset=Path("a.npy"), against=Path("b.npy"), num_clusters=0).num_clusters == 0
