"""Pack records: a hypothesis strategy for any of them, and datasets of packs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import Dataset, write_manifest
from oqvl_shards.manifest import Account, Lineage, Manifest, PackedDetails
from oqvl_shards.packed import PackRecord, shard_name, write_packed_shard

IMAGE_TOKEN_ID = 99
VISUAL_TOKENS = 3

PackedDatasetMaker = Callable[..., Dataset]


@st.composite
def pack_records(draw: st.DrawFn) -> PackRecord:
    """Any record that keeps the format's rules, with `VISUAL_TOKENS` visual tokens an image."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    num_stored = sum(lengths)
    is_image = np.array(draw(st.lists(st.booleans(), min_size=num_stored, max_size=num_stored)))
    is_target = np.array(draw(st.lists(st.booleans(), min_size=num_stored, max_size=num_stored)))
    tokens = draw(st.lists(st.integers(0, IMAGE_TOKEN_ID - 1), min_size=num_stored, max_size=num_stored))
    num_images = int(is_image.sum())
    types = st.sampled_from(["jpg", "jpeg", "png", "webp"])
    keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
    return PackRecord(
        input_ids=np.where(is_image, IMAGE_TOKEN_ID, tokens).astype(np.int32),
        is_target=is_target & ~is_image,
        document_lengths=np.array(lengths, dtype=np.int32),
        image_positions=np.flatnonzero(is_image).astype(np.int32),
        image_tokens=np.full(num_images, VISUAL_TOKENS, dtype=np.int32),
        document_keys=tuple(draw(st.lists(keys, min_size=len(lengths), max_size=len(lengths)))),
        image_types=tuple(draw(st.lists(types, min_size=num_images, max_size=num_images))),
    )


@pytest.fixture(scope="session")
def records() -> st.SearchStrategy[PackRecord]:
    return pack_records()


@pytest.fixture(scope="session")
def record() -> PackRecord:
    """Two documents: one with an image and a target, one with text only."""
    return PackRecord(
        input_ids=np.array([5, IMAGE_TOKEN_ID, 6, 7, 8, 9], dtype=np.int32),
        is_target=np.array([False, False, True, True, True, True]),
        document_lengths=np.array([4, 2], dtype=np.int32),
        image_positions=np.array([1], dtype=np.int32),
        image_tokens=np.array([VISUAL_TOKENS], dtype=np.int32),
        document_keys=("00000.tar/a", "00000.tar/é"),
        image_types=("png",),
    )


@pytest.fixture(scope="session")
def make_packed_dataset() -> PackedDatasetMaker:
    """Write packs, cut into shards of given sizes, and their manifest."""

    def make(directory: Path, packs: Sequence[tuple[PackRecord, Sequence[bytes]]], sizes: Sequence[int]) -> Dataset:
        assert sum(sizes) == len(packs)
        shards = []
        first = 0
        for index, size in enumerate(sizes):
            path = directory / shard_name(index)
            part = packs[first : first + size]
            shards.append(write_packed_shard(path, part, first_pack_id=first, relative_to=directory))
            first += size
        details = PackedDetails(
            bin_capacity=200,
            visual_tokens_per_image=VISUAL_TOKENS,
            image_token_id=IMAGE_TOKEN_ID,
            pad_token_id=0,
            vocab_size=IMAGE_TOKEN_ID + 1,
            tokenizer_sha256="0" * 64,
            num_documents=sum(len(record.document_keys) for record, _ in packs),
            num_images=sum(len(record.image_types) for record, _ in packs),
            num_tokens=sum(record.num_tokens for record, _ in packs),
            num_target_tokens=sum(int(record.is_target.sum()) for record, _ in packs),
            lower_bound=len(packs),
        )
        manifest = Manifest(
            name="packs",
            details=details,
            shards=tuple(shards),
            account=Account(num_in=len(packs), num_kept=len(packs)),
            lineage=Lineage.derive("test", "0", StageConfig()),
        )
        return write_manifest(directory, manifest)

    return make


@pytest.fixture
def packs(record: PackRecord) -> list[tuple[PackRecord, list[bytes]]]:
    text_only = replace(
        record,
        input_ids=np.array([1, 2], dtype=np.int32),
        is_target=np.array([False, True]),
        document_lengths=np.array([2], dtype=np.int32),
        image_positions=np.array([], dtype=np.int32),
        image_tokens=np.array([], dtype=np.int32),
        document_keys=("b",),
        image_types=(),
    )
    return [(record, [b"image 0"]), (text_only, []), (record, [b"i" * 600]), (record, [b"image 3"])]


@pytest.fixture
def dataset(tmp_path: Path, packs: list[tuple[PackRecord, list[bytes]]], make_packed_dataset) -> Dataset:
    return make_packed_dataset(tmp_path / "packs", packs, [3, 1])
