"""Every built-in scorer on one difficult shard: scores are a sample's own, and every other one has its reason."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from oqvl_filter import run
from oqvl_filter.config import ScoreConfig
from oqvl_filter.pool import pool_samples
from oqvl_filter.score_file import read_table
from oqvl_filter.scorers.judges.judge import Answer, JudgeReason
from oqvl_filter.scorers.scoring import score_table
from oqvl_shards.dataset import Dataset
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits

LIMITS = ReadLimits()
CAPTIONS = {
    "plain": "a red dog on a mat",
    "emoji": "\U0001f468‍\U0001f469‍\U0001f467 at the sea \U0001f600\U0001f600",
    "chinese": "一只狗在垫子上",
    "arabic": "كلب على السجادة",
    "combining": "cafe\u0301 und Stra\u00dfe",
    "long": "word " * 800,
    "markup": "<b>{caption}</b> %s \\n <|endoftext|>",
    "spaces": "  dog\u00a0\u2028 dog\t\n",
}


class LengthJudge:
    """Scores by the length of the prompt and the size of the image; refuses emoji."""

    def fingerprint(self) -> str:
        return "a" * 64

    def answer(
        self, images: Sequence[Any], prompts: Sequence[Sequence[str]], max_new_tokens: int
    ) -> list[list[Answer]]:
        return [
            [
                Answer("", refusal=JudgeReason.REFUSED)
                if "\U0001f600" in prompt
                else Answer(str((len(prompt) + image.width) % 101))
                for prompt in row
            ]
            for image, row in zip(images, prompts, strict=True)
        ]


class CodePoints:
    """A language identifier that depends on nothing but the text."""

    def fingerprint(self) -> str:
        return "b" * 64

    def identify(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        return [("" if "<" in text else f"x{len(text) % 7}", sum(map(ord, text)) % 100 / 100) for text in texts]


@pytest.fixture
def own_modules(monkeypatch) -> None:
    module = SimpleNamespace(LengthJudge=LengthJudge, CodePoints=CodePoints)
    monkeypatch.setitem(sys.modules, "own_models", module)


def jpeg(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((40 + 3 * number, 30 + number), Image.Resampling.BICUBIC).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def pool(make_pool, pair, uid_of) -> Dataset:
    """Good samples in many scripts, each next to one that cannot be used."""
    broken = [
        pair("cut", jpeg(1)[:-300], "a cut picture", uid_of(100)),
        pair("no-image", None, "nothing to see", uid_of(101)),
        pair("no-text", jpeg(2), None, uid_of(102)),
        pair("blank", jpeg(3), " \t\n", uid_of(103)),
        pair("bad-json", jpeg(4), "the uid is lost", json=b"[1,"),
        pair("no-picture", b"\xff\xd8\xffrubbish", "a jpeg by its first bytes", uid_of(104)),
    ]
    pairs = []
    for number, (key, caption) in enumerate(CAPTIONS.items()):
        pairs.append(pair(key, jpeg(10 + number), caption, uid_of(number)))
        pairs += broken[number : number + 1]
    pool = make_pool([pairs])
    assert len(pairs) == len(CAPTIONS) + len(broken)
    return pool


SCORERS = ["rules", "text", "image", "phash", "metadata", "mlm", "clip", "aesthetic"]
READS_IMAGES = {"rules", "image", "phash", "mlm", "clip", "aesthetic"}
READS_CAPTIONS = {"rules", "text", "metadata", "mlm", "clip"}


@pytest.fixture
def scorer_of(own_modules, tiny_clip: str, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A function from a scorer's name to its configuration."""

    def configure(name: str, **values: Any) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        match name:
            case "text":
                settings = {"language": "own_models:CodePoints"}
            case "metadata":
                (tmp_path / "entries.json").write_text(json.dumps(["dog", "red dog", "café", "strasse", "sea", "word"]))
                settings = {"entries": tmp_path / "entries.json"}
            case "mlm":
                settings = {"judge": "own_models:LengthJudge", "batch_size": 3}
            case "clip":
                settings = {"model": tiny_clip, "batch_size": 3, "image_embedding": "float32"}
            case "aesthetic":
                weight = np.linspace(-1, 1, 16, dtype=np.float32)[None]
                save_file({"w": weight, "b": np.array([5], np.float32)}, tmp_path / "head.safetensors")
                settings = {"model": tiny_clip, "head": tmp_path / "head.safetensors", "batch_size": 3}
        return {"name": name, **settings, **values}

    return configure


def build(scorer: dict[str, Any]) -> Any:
    return ScoreConfig.model_validate({"pool": "p", "output": "o", "scorer": scorer}).scorer.build(LIMITS)


def expected_reasons(name: str) -> dict[str, str]:
    """The reasons of the unusable samples, by key, from what the scorer reads."""
    image = {"cut": "image_broken", "no-image": "no_image", "no-picture": "image_broken"}
    text = {"no-text": "no_text", "blank": "empty_text"}
    reasons = {"bad-json": "not_json"}
    reasons |= image if name in READS_IMAGES else {}
    reasons |= text if name in READS_CAPTIONS else {}
    if name == "rules":
        del reasons["cut"]  # no pixel is decoded, and the header is whole
    if name == "mlm":
        reasons["emoji"] = "refused"
    return reasons


@pytest.mark.parametrize("name", SCORERS)
def test_every_sample_has_scores_or_its_reason(name: str, pool: Dataset, scorer_of, tmp_path: Path):
    report = run.score(
        ScoreConfig.model_validate({"pool": pool.path, "output": tmp_path / name, "scorer": scorer_of(name)})
    )
    rows = read_table(tmp_path / name / "00000.parquet").to_pylist()
    reasons = {row["key"]: row["reject"] for row in rows if row["reject"] is not None}
    assert reasons == expected_reasons(name)
    account = report.account
    assert (account.num_in, account.num_kept) == (14, 14 - len(reasons))
    assert sum(account.rejected.values()) == len(reasons)
    scored = [row for row in rows if row["reject"] is None]
    columns = set(rows[0]) - {"uid", "uid_derived", "key", "reject"}
    for row in rows:
        if row["reject"] is not None:
            assert {row[column] for column in columns if not column.endswith("_count")} <= {None}
    for column in columns - {"language"}:
        assert all(row[column] is not None for row in scored), column
    assert [row["key"] for row in rows if row["uid_derived"]] == ["bad-json"]


def is_close(left: Any, right: Any) -> bool:
    if isinstance(left, float | list | np.ndarray):
        return bool(np.allclose(left, right, atol=1e-5))
    return left == right


@pytest.mark.parametrize("name", SCORERS)
def test_a_sample_alone_has_the_scores_that_it_has_among_others(name: str, pool: Dataset, scorer_of):
    scorer = build(scorer_of(name))
    with ShardReader(pool.path / "00000.tar") as reader:
        samples = pool_samples(reader, "pool")
        together = scorer.score_shard(reader, samples)
        backwards = scorer.score_shard(reader, samples[::-1])[::-1]
        for sample, row, mirrored in zip(samples, together, backwards, strict=True):
            (alone,) = scorer.score_shard(reader, [sample])
            for other in (alone, mirrored):
                assert isinstance(row, str) == isinstance(other, str), sample.sample.key
                if isinstance(row, str):
                    assert row == other
                else:
                    assert row.keys() == other.keys()
                    assert all(is_close(row[column], other[column]) for column in row), sample.sample.key


@pytest.mark.parametrize("name", ["mlm", "clip", "aesthetic"])
@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_the_size_of_a_batch_is_a_matter_of_speed(name: str, batch_size: int, pool: Dataset, scorer_of):
    with ShardReader(pool.path / "00000.tar") as reader:
        samples = pool_samples(reader, "pool")
        first, second = (
            build(scorer_of(name, **values)).score_shard(reader, samples) for values in ({}, {"batch_size": batch_size})
        )
    for row, other in zip(first, second, strict=True):
        assert isinstance(row, str) == isinstance(other, str)
        assert row == other if isinstance(row, str) else all(is_close(row[column], other[column]) for column in row)


@pytest.mark.parametrize("name", SCORERS)
def test_a_shard_without_samples_has_an_empty_table(name: str, make_pool, scorer_of):
    scorer = build(scorer_of(name))
    with ShardReader(make_pool([[]]).path / "00000.tar") as reader:
        table = score_table([], scorer.score_shard(reader, []), scorer.columns)
    assert len(table) == 0
    assert table.column_names[3:-1] == [column.name for column in scorer.columns]


@pytest.mark.parametrize("name", SCORERS)
def test_limits_are_in_the_fingerprint_and_apply(name: str, pool: Dataset, scorer_of):
    config = ScoreConfig.model_validate({"pool": "p", "output": "o", "scorer": scorer_of(name)}).scorer
    strict = ReadLimits(min_image_side=45)
    assert config.build(LIMITS).fingerprint() != config.build(strict).fingerprint()
    scorer = config.build(strict)
    with ShardReader(pool.path / "00000.tar", strict) as reader:
        samples = pool_samples(reader, "pool")
        reasons = {
            sample.sample.key: str(row)
            for sample, row in zip(samples, scorer.score_shard(reader, samples), strict=True)
            if isinstance(row, str)
        }
    # The picture of `plain` is 70 x 40, that of `chinese` 76 x 42, that of `markup` 88 x 46.
    small = {key for key, reason in reasons.items() if reason == "image_too_small"}
    assert ({"plain", "chinese"} <= small) is (name in READS_IMAGES)
    assert "markup" not in small


def test_the_text_columns_are_of_the_characters(pool: Dataset, scorer_of):
    scorer = build(scorer_of("text"))
    with ShardReader(pool.path / "00000.tar") as reader:
        samples = pool_samples(reader, "pool")
        rows = dict(zip((sample.sample.key for sample in samples), scorer.score_shard(reader, samples), strict=True))
    assert (rows["chinese"]["chars"], rows["chinese"]["words"], rows["chinese"]["letter_share"]) == (7, 1, 1)
    assert rows["arabic"]["words"] == 3
    assert rows["emoji"]["letter_share"] == pytest.approx(8 / len(CAPTIONS["emoji"]))
    assert rows["markup"]["language"] is None and rows["markup"]["language_probability"] is not None
    assert rows["spaces"]["words"] == 2


def test_entries_are_found_in_every_way_of_writing_a_letter(pool: Dataset, scorer_of):
    scorer = build(scorer_of("metadata"))
    with ShardReader(pool.path / "00000.tar") as reader:
        samples = pool_samples(reader, "pool")
        rows = dict(zip((sample.sample.key for sample in samples), scorer.score_shard(reader, samples), strict=True))
    assert rows["plain"]["entries"] == "0 1"
    assert rows["combining"]["entries"] == "2 3"  # NFKC joins e and its accent, case folding writes ss
    assert rows["emoji"]["entries"] == "4"
    assert rows["spaces"] == {"entries": "0", "num_entries": 1}
    assert rows["chinese"] == {"entries": "", "num_entries": 0}
