from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from oqvl_filter import run
from oqvl_filter.config import DedupConfig, ImportCsvConfig, PhashScorerConfig, ScoreConfig
from oqvl_filter.pages.scored_samples import ScoredSamples, is_dedup, read_scored_samples
from oqvl_filter.subset import open_subset
from oqvl_shards.dataset import Dataset, open_dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.uid import array_to_uids, uids_to_array

SCORES = {"r": "rules", "p": "phash", "d": "dedup"}


@pytest.fixture
def pool(make_pool, plain_pairs) -> Dataset:
    return make_pool([plain_pairs(30)])


@pytest.fixture
def data(pool: Dataset, tmp_path: Path, uid_of) -> ScoredSamples:
    """The scores `rules` (as r), `phash` and a deduplication by it."""
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "rules"))
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "phash", scorer=PhashScorerConfig(name="phash")))
    config = {"scores": {"p": tmp_path / "phash"}, "method": "perceptual", "column": "phash"}
    run.dedup(DedupConfig.from_values({**config, "output": tmp_path / "dedup"}))
    np.save(tmp_path / "a.npy", uids_to_array([uid_of(3), uid_of(99)]))
    scores = {label: [open_dataset(tmp_path / name)] for label, name in SCORES.items()}
    return read_scored_samples([pool], scores, open_subset(tmp_path / "a.npy"))


def test_numbers_and_texts_are_the_scores(data: ScoredSamples, uid_of):
    assert array_to_uids(data.candidates.uids) == [uid_of(n) for n in range(30)]
    assert data.numbers["r.width"].tolist() == [20 + n % 5 for n in range(30)]
    assert pa.types.is_string(data.texts["r.content_sha"].type)
    assert np.flatnonzero(data.selected).tolist() == [3] and not data.against.any()
    # What dedup has found is shown as pictures.
    assert {name[0] for name in (*data.numbers, *data.texts)} == {"r", "p"}
    assert "r.width" in data.graded and "r.image_count" not in data.graded


def test_a_hash_is_a_word_whatever_integer_it_is_stored_as(data: ScoredSamples, pool, tmp_path: Path, uid_of):
    assert "p.phash" not in data.numbers
    words = data.texts["p.phash"].to_pylist()
    assert {len(word) for word in words} == {16}
    signed = [-1, 2**62, None, *(int(word, 16) - (int(word, 16) >> 63 << 64) for word in words[3:])]
    rows = [f"{uid_of(n)},{'' if value is None else value},{n}" for n, value in enumerate(signed)]
    (tmp_path / "hashes.csv").write_text("\n".join(["uid,hash,count", *rows]))
    report = run.import_scores(ImportCsvConfig(source=tmp_path / "hashes.csv", output=tmp_path / "csv", name="csv"))
    assert list(report.deciles) == ["count"]
    found = read_scored_samples([pool], {label: [open_dataset(tmp_path / label)] for label in ("rules", "csv")})
    assert "csv.count" in found.numbers and "csv.hash" not in found.numbers
    assert found.texts["csv.hash"].to_pylist() == ["f" * 16, f"{2**62:016x}", None, *words[3:]]


def test_picks_are_by_chance_but_the_same_each_time(data: ScoredSamples):
    everything = np.ones(30, dtype=bool)
    picked = data.first(everything, 10)
    assert picked == data.first(everything, 30)[:10] != sorted(picked)
    assert sorted(data.first(everything, 99)) == list(range(30))
    assert data.first(data.selected, 5) == [3]


def test_scores_of_another_pool_are_refused(data: ScoredSamples, make_pool, plain_pairs, tmp_path: Path):
    with pytest.raises(ConfigError, match="of another pool"):
        read_scored_samples([make_pool([plain_pairs(2)], "other")], {"r": [open_dataset(tmp_path / "rules")]})


def test_what_dedup_has_written_is_told_by_its_lineage(data: ScoredSamples, tmp_path: Path):
    assert is_dedup([open_dataset(tmp_path / "dedup")])
    assert not is_dedup([open_dataset(tmp_path / "phash")])
