"""Reading a source shard: what becomes of every sample."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from oqvl_pack.config import PackConfig
from oqvl_pack.documents import DocumentTable, read_documents
from oqvl_pack.worker import Job
from oqvl_shards.errors import DataError
from oqvl_shards.manifest import open_dataset


def read(source: Path, tokenizer: Path, **values: object) -> tuple[DocumentTable, Counter[str]]:
    config = PackConfig.model_validate({"source": source, "output": source, "tokenizer": tokenizer, **values})
    return read_documents(source / "00000.tar", "00000.tar", config, Job(config, open_dataset(source)).tokenizer())


def test_captions(captions: Path, tokenizer_file: Path) -> None:
    table, rejected = read(captions, tokenizer_file)
    assert rejected == {"image_broken": 1, "image_too_small": 1, "empty_text": 1}
    assert len(table) == 37
    assert table.keys[:4] == tuple(f"00000.tar/00000{i}" for i in range(4))
    document = table[3]
    assert document.images[0].name == "000003.png"
    # Begin, image, newline, 28 characters, end; the mark and the end token in the caption are characters.
    assert len(document.tokens.input_ids) == 32
    assert document.tokens.is_target.tolist() == [False, False, *[True] * 30]
    assert table.lengths(16)[3] == 47


def test_conversations(conversations: Path, tokenizer_file: Path) -> None:
    table, rejected = read(conversations, tokenizer_file, template="conversation")
    assert rejected == {"image_mark_mismatch": 1, "bad_conversation": 1, "empty_answer": 1}
    assert np.diff(table.image_offsets).tolist() == [i % 3 for i in range(30) if i not in (4, 5, 6)]


def test_overlong_document_is_named_or_counted(captions: Path, tokenizer_file: Path) -> None:
    values = {"visual_tokens_per_image": 16, "bin_capacity": 50}
    with pytest.raises(DataError, match=r"00000.tar/00000\d has \d+ tokens, a pack holds 50"):
        read(captions, tokenizer_file, **values)
    table, rejected = read(captions, tokenizer_file, overlong="drop", **values)
    assert rejected["overlong"] > 0
    assert len(table) + rejected.total() == 40
    assert table.lengths(16).max() <= 50


def test_decoding_finds_what_the_header_hides(tmp_path: Path, captions: Path, tokenizer_file: Path) -> None:
    path = captions / "00000.tar"
    data = bytearray(path.read_bytes())
    start = data.index(b"IHDR", data.index(b"000003.png")) + 40
    data[start : start + 40] = bytes(40)
    path.write_bytes(data)
    assert read(captions, tokenizer_file)[1]["image_broken"] == 1
    assert read(captions, tokenizer_file, image_check="decode")[1]["image_broken"] == 2


def test_no_documents() -> None:
    table = DocumentTable.from_documents([])
    assert len(table) == 0
    assert table.lengths(144).tolist() == []
