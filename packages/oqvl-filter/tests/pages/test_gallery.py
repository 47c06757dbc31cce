from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from oqvl_filter import run
from oqvl_filter.candidates import read_candidates
from oqvl_filter.config import ScoreConfig
from oqvl_filter.pages.gallery import (
    MAX_CAPTION,
    THUMBNAIL_SIDE,
    Gallery,
    find_pictures,
    picture_of_file,
    shorten,
    thumbnail,
)
from oqvl_shards.dataset import open_dataset
from oqvl_shards.tar.sample import ReadLimits
from oqvl_shards.uid import array_to_uids


@pytest.fixture
def gallery(make_pool, pair, picture, plain_pairs, uid_of, tmp_path) -> Gallery:
    """Two shards with a repeated uid, a broken image, a pair without a caption."""
    good = plain_pairs(3)
    again = pair("again", picture((1, 1, 1)), "another", uid_of(1))
    broken = pair("broken", picture()[:20], "half a picture", uid_of(50))
    silent = pair("silent", picture(), None, uid_of(51))
    pool = make_pool([good, [again, broken, silent]])
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "rules"))
    return Gallery([pool], read_candidates([pool], {"rules": [open_dataset(tmp_path / "rules")]}), ReadLimits())


def test_samples_are_found_by_uid(gallery: Gallery, uid_of):
    uids = array_to_uids(gallery.candidates.uids)
    assert sorted(uids) == sorted(map(uid_of, [0, 1, 2, 50, 51]))
    found = {uids[row]: one for row, one in gallery.pictures(range(5)).items()}
    assert {uid: one.uid for uid, one in found.items()} == {uid: uid for uid in uids}
    assert found[uid_of(1)].caption == "caption 1"  # the first sample of a uid stands for it
    assert found[uid_of(1)].shard == "00000.tar"
    assert (found[uid_of(50)].problem, found[uid_of(50)].source) == ("image_broken", "")
    assert (found[uid_of(51)].problem, found[uid_of(51)].caption) == ("no_text", "")


def test_a_thumbnail_is_small_and_keeps_the_ratio():
    prefix, _, content = thumbnail(Image.new("RGB", (1000, 100), "red")).partition(",")
    assert prefix == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert image.size == (THUMBNAIL_SIDE, 14)


def test_a_caption_is_shortened_and_prints():
    assert shorten(" a\n b ") == "a b"
    assert shorten("a\x00b\u202ec") == "a�b�c"
    assert len(shorten("x" * 10_000)) == MAX_CAPTION


def test_a_sample_is_found_wherever_it_lies(make_pool, plain_pairs, uid_of):
    pool = make_pool([plain_pairs(3), plain_pairs(3, start=3)])
    for likely in [(), (0,), (1, 7)]:
        found = find_pictures(pool, [uid_of(4), uid_of(0), uid_of(99)], ReadLimits(), likely)
        assert {uid: one.shard for uid, one in found.items()} == {uid_of(0): "00000.tar", uid_of(4): "00001.tar"}


def test_only_likely_shards_are_opened_when_they_suffice(make_pool, plain_pairs, uid_of):
    pool = make_pool([plain_pairs(3), plain_pairs(3, start=3)])
    pool.shard_path(pool.manifest.shards[0]).unlink()
    assert find_pictures(pool, [uid_of(4)], ReadLimits(), [1]).keys() == {uid_of(4)}


def test_samples_of_several_pools_are_told_apart(make_pool, plain_pairs, uid_of, tmp_path):
    pools = [make_pool([plain_pairs(2), plain_pairs(2, start=2)], "one"), make_pool([plain_pairs(4, start=2)], "two")]
    for pool in pools:
        run.score(ScoreConfig(pool=pool.path, output=tmp_path / f"{pool.manifest.name}-rules"))
    scores = {"rules": [open_dataset(tmp_path / f"{name}-rules") for name in ("one", "two")]}
    found = Gallery(pools, read_candidates(pools, scores), ReadLimits()).pictures(range(6))
    assert [found[row].pool for row in range(6)] == ["one"] * 4 + ["two"] * 2
    assert [found[row].caption for row in range(6)] == [f"caption {n}" for n in range(6)]


def test_a_picture_of_a_benchmark_may_be_broken(picture):
    assert picture_of_file("b", "q1", picture(), ReadLimits()).source.startswith("data:image/jpeg")
    assert picture_of_file("b", "q1", b"nothing", ReadLimits()).problem == "image_broken"
