"""How score datasets become columns over the samples of pools."""

from __future__ import annotations

from pathlib import Path

import pytest

from oqvl_filter import run
from oqvl_filter.candidates import read_candidates, resolve_column
from oqvl_filter.config import ScoreConfig
from oqvl_filter.score_file import vector_dtype
from oqvl_shards.dataset import Dataset, open_dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import FieldSpec, Manifest, ScoresDetails
from oqvl_shards.uid import array_to_uids


@pytest.fixture
def score(tmp_path: Path):
    def score(pool: Dataset, **config) -> Dataset:
        output = tmp_path / f"{pool.manifest.name}-rules{len(config)}"
        run.score(ScoreConfig(pool=pool.path, output=output, **config))
        return open_dataset(output)

    return score


def test_columns_follow_the_pools_and_the_first_of_a_uid_stands(make_pool, plain_pairs, uid_of, score):
    one, two = make_pool([plain_pairs(4)], "one"), make_pool([plain_pairs(4, start=2)], "two")
    candidates = read_candidates([one, two], {"rules": [score(two), score(one)], "some": [score(one)]})
    assert array_to_uids(candidates.uids) == [uid_of(n) for n in range(6)]
    assert candidates.num_duplicates == 2
    assert candidates.column("rules.width").to_pylist() == [20, 21, 22, 23, 24, 20]
    assert candidates.column("some.width").to_pylist() == [20, 21, 22, 23, None, None]
    assert candidates.column("source").to_pylist() == ["one"] * 4 + ["two"] * 2


def test_scores_with_other_rows_are_joined_by_uid(make_pool, pair, picture, uid_of, score):
    # Under the tighter limit the second sample is rejected early and moves to the end of its shard.
    pairs = [pair(str(n), picture(size=(20 + n, 16)), "x" * (3000 if n == 1 else 3), uid_of(n)) for n in range(3)]
    pool = make_pool([pairs])
    plain, tight = score(pool), score(pool, limits={"max_member_bytes": 1000})
    candidates = read_candidates([pool], {"plain": [plain], "tight": [tight]})
    assert candidates.column("plain.width").to_pylist() == [20, 21, 22]
    assert candidates.column("tight.width").to_pylist() == [20, None, 22]


def test_without_pools_the_samples_are_those_that_the_scores_name(make_pool, plain_pairs, uid_of, score):
    one, two = make_pool([plain_pairs(3)], "one"), make_pool([plain_pairs(3, start=2)], "two")
    candidates = read_candidates([], {"a": [score(one)], "b": [score(two)]})
    assert array_to_uids(candidates.uids) == [uid_of(n) for n in range(5)]
    assert candidates.column("b.width").to_pylist() == [None, None, 22, 23, 24]
    assert candidates.column("source").to_pylist() == ["one.rules"] * 3 + ["two.rules"] * 2


def test_scores_that_do_not_belong_to_the_pools_are_refused(make_pool, plain_pairs, score):
    one, two = make_pool([plain_pairs(3)], "one"), make_pool([plain_pairs(3, start=5)], "two")
    with pytest.raises(ConfigError, match="of another pool"):
        read_candidates([one], {"a": [score(one)], "b": [score(two)]})
    with pytest.raises(ConfigError, match="no scores of the pool"):
        read_candidates([one, two], {"a": [score(one)]})


def of_columns(**labels: str) -> dict[str, list[Dataset]]:
    """Score datasets of which nothing but the columns is known."""

    def dataset(columns: str) -> Dataset:
        details = ScoresDetails(scorer="x", fingerprint="0" * 64, columns=tuple(columns.split()))
        return Dataset(Path(), Manifest.model_construct(details=details))

    return {label.replace("_", "-"): [dataset(columns)] for label, columns in labels.items()}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("rules.width", "rules.width"),
        ("height", "rules.height"),
        ("dfn", "dfn.clip_score"),
        ("su", "mlm.su"),
        ("source", "source"),
    ],
)
def test_a_name_means_what_only_one_column_can_be(name: str, meant: str):
    assert resolve_column(name, of_columns(rules="width height", dfn="clip_score", mlm="su itm")) == meant


def test_a_label_means_its_only_column_that_is_no_vector():
    vector = FieldSpec(name="image_embedding", dtype=vector_dtype("float16", 4))
    fields = (FieldSpec(name="clip_score", dtype="float32"), vector)

    def scores(*fields: FieldSpec) -> dict[str, list[Dataset]]:
        details = ScoresDetails(scorer="x", fingerprint="0" * 64, columns=tuple(field.name for field in fields))
        return {"clip": [Dataset(Path(), Manifest.model_construct(details=details, fields=fields))]}

    assert resolve_column("clip", scores(*fields)) == "clip.clip_score"
    assert resolve_column("image_embedding", scores(*fields)) == "clip.image_embedding"
    assert resolve_column("clip", scores(vector)) == "clip.image_embedding"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("clip_score", "may mean clip.clip_score, dfn.clip_score"),
        ("mlm", "may mean mlm.su, mlm.itm"),
        ("rules.widht", "did you mean rules.width"),
        ("beauty", "known: source, rules.width"),
    ],
)
def test_a_name_that_means_none_or_several_is_explained(name: str, problem: str):
    with pytest.raises(ConfigError, match=problem):
        resolve_column(name, of_columns(rules="width", dfn="clip_score", clip="clip_score", mlm="su itm"))
