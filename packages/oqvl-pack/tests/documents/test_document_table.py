"""Documents as columns: empty tables, taking, concatenating, and what is written to disk and read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from oqvl_pack.config import PackConfig
from oqvl_pack.corpus.worker import Job
from oqvl_pack.documents.document_table import DocumentTable
from oqvl_pack.documents.drafting import read_documents
from oqvl_pack.documents.source import list_shards, open_sources
from oqvl_pack.documents.template import SpecialTokens
from oqvl_pack.documents.tokenization import DocumentTokenizer


def read(source: Path, tokenizer: Path) -> DocumentTable:
    config = PackConfig(source=source, output=source, tokenizer=tokenizer)
    shard = list_shards(open_sources(config))[0]
    return read_documents(shard, config, Job(config, frozenset({shard.template})).tokenizer()).table


def test_no_documents(byte_tokenizer_json: bytes) -> None:
    tokens = SpecialTokens(image="<image>", bos="<s>", start="", end="<|im_end|>", pad="<|pad|>")
    table = DocumentTable.from_drafts("00000.tar", [], DocumentTokenizer(byte_tokenizer_json, tokens))
    assert len(table) == 0
    assert table.lengths().tolist() == table.tar_bytes().tolist() == []


def test_taking_documents(interleaved: Path, tokenizer_file: Path) -> None:
    table = read(interleaved, tokenizer_file)
    taken = table.take(np.asarray([5, 0, 5]))
    for position, index in enumerate([5, 0, 5]):
        assert taken[position].key == table[index].key
        assert taken[position].images == table[index].images
        assert taken[position].tokens.input_ids.tolist() == table[index].tokens.input_ids.tolist()
    assert taken.tar_bytes().tolist() == table.tar_bytes()[[5, 0, 5]].tolist()
