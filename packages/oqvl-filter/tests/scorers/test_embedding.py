from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from oqvl_filter.pool import pool_samples
from oqvl_filter.score_file import read_table, write_table
from oqvl_filter.scorers.embedding import IMAGE_EMBEDDING, PairScorer
from oqvl_filter.scorers.encoder import PairScorerConfig, unit_length
from oqvl_filter.scorers.image_pipeline import Preparation
from oqvl_filter.scorers.scoring import score_table
from oqvl_shards.image import decode_image
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits


class Colours:
    """Embeds a picture as its colour, and a caption as the colour that it names."""

    def __init__(self) -> None:
        self.captions: list[str] = []
        self.batches: list[int] = []

    def fingerprint(self) -> str:
        return "c" * 64

    @property
    def preparation(self) -> Preparation:
        return Preparation(
            lambda content: torch.tensor(decode_image(content, ReadLimits()).getpixel((0, 0)), dtype=torch.float32)
        )

    def encode_images(self, pixels: Sequence[torch.Tensor]) -> np.ndarray:
        self.batches.append(len(pixels))
        return unit_length(torch.stack(list(pixels)))

    def encode_captions(self, captions: Sequence[str]) -> np.ndarray:
        self.captions += captions
        names = ("red", "green", "blue")
        return unit_length(torch.tensor([[float(name in caption) for name in names] for caption in captions]))


def config_of(**changes: Any) -> PairScorerConfig:
    return PairScorerConfig(model="colours", batch_size=3, **changes)


@pytest.fixture
def pool(make_pool, pair, picture):
    pairs = [
        pair("a", picture((200, 0, 0)), "red"),
        pair("b", picture((0, 200, 0)), "red"),
        pair("e", picture()[:30], "red"),
        pair("c", picture((200, 200, 0)), "red"),
        pair("d", picture((0, 0, 9)), "blue"),
        pair("f", picture((0, 0, 9)), None),
    ]
    return make_pool([pairs])


def rows_of(pool, scorer: PairScorer) -> list[Any]:
    with ShardReader(pool.path / "00000.tar", name="00000.tar") as reader:
        return scorer.score_shard(reader, pool_samples(reader, "pool"))


def test_cosines_are_of_each_image_with_its_own_caption(pool):
    encoder = Colours()
    scorer = PairScorer("colour", encoder, config_of())
    found = rows_of(pool, scorer)
    assert [str(one) for one in found if isinstance(one, str)] == ["image_broken", "no_text"]
    scored = [one for one in found if not isinstance(one, str)]
    assert [list(one) for one in scored] == [["colour_score"]] * 4
    assert np.allclose([one["colour_score"] for one in scored], [1, 0, 0.5**0.5, 1])
    assert encoder.captions == ["blue", "red"]
    assert encoder.batches == [3, 1]
    assert [column.name for column in scorer.columns] == ["colour_score"]


@pytest.mark.parametrize("number", ["float16", "float32"])
def test_embeddings_are_kept_beside_the_same_scores(pool, tmp_path: Path, number: str):
    plain, keeping = (PairScorer("colour", Colours(), config_of(image_embedding=one)) for one in ("none", number))
    assert keeping.fingerprint() == plain.fingerprint()
    rows, expected = rows_of(pool, keeping), rows_of(pool, plain)
    assert [row if isinstance(row, str) else {"colour_score": row["colour_score"]} for row in rows] == expected
    with ShardReader(pool.path / "00000.tar") as reader:
        table = score_table(pool_samples(reader, "pool"), rows, keeping.columns)
    write_table(table, tmp_path / "00000.parquet")
    column = read_table(tmp_path / "00000.parquet", [IMAGE_EMBEDDING])[IMAGE_EMBEDDING]
    assert str(column.type) == keeping.columns[1].dtype
    assert (column.type.value_type, column.type.list_size) == (pa.type_for_alias(number), 3)
    assert column[3].as_py() == pytest.approx([0.5**0.5, 0.5**0.5, 0], abs=1e-3)
    assert [place for place in range(6) if column[place].as_py() is None] == [2, 5]


def test_a_shard_without_a_usable_sample_has_the_same_columns(make_pool, pair, picture, tmp_path: Path):
    scorer = PairScorer("colour", Colours(), config_of(image_embedding="float16"))
    pool = make_pool([[pair("a", picture()[:30], "red")]])
    with ShardReader(pool.path / "00000.tar") as reader:
        table = score_table(pool_samples(reader, "pool"), rows_of(pool, scorer), scorer.columns)
    assert str(table[IMAGE_EMBEDDING].type) == scorer.columns[1].dtype == "fixed_size_list<element: halffloat>[3]"
    assert table[IMAGE_EMBEDDING].null_count == 1
