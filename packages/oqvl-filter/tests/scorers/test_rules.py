from __future__ import annotations

import hashlib

import pytest

from oqvl_filter.pool import pool_samples
from oqvl_filter.scorers.rules import RulesScorer, normalise_caption
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits


def test_known_answers(make_pool, pair, picture):
    image = picture((1, 2, 3), (30, 12))
    pool = make_pool([[pair("a", image, "Two  cats\nhere"), pair("b", None, "x")]])
    scorer = RulesScorer(ReadLimits())
    with ShardReader(pool.path / "00000.tar") as reader:
        good, bad = scorer.score_shard(reader, pool_samples(reader, "pool"))
    assert good == {
        "width": 30,
        "height": 12,
        "aspect": 2.5,
        "caption_chars": 14,
        "caption_words": 3,
        "caption_sha": hashlib.sha256(b"two cats here").hexdigest()[:32],
        "content_sha": hashlib.sha256(image).hexdigest(),
    }
    assert bad == "no_image"
    assert set(good) | set(scorer.counted) == {column.name for column in scorer.columns}


@pytest.mark.parametrize("variant", ["a Cat", "A CAT", " a\tcat\n", "\uff41 cat"])
def test_captions_that_differ_in_case_space_and_form_are_one(variant: str):
    assert normalise_caption(variant) == "a cat"


def test_the_fingerprint_depends_on_the_caps():
    assert RulesScorer(ReadLimits()).fingerprint() != RulesScorer(ReadLimits(min_image_side=9)).fingerprint()
