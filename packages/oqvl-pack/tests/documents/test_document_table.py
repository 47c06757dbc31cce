"""Documents as columns: empty tables, taking, concatenating, and what is written to disk and read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

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


@st.composite
def tables(draw: st.DrawFn) -> DocumentTable:
    """Documents with any number of tokens and images; keys are not ASCII, because paths need not be."""
    documents = draw(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=6))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    num_tokens, num_images = np.asarray(documents).T
    total_tokens, total_images = int(num_tokens.sum()), int(num_images.sum())
    return DocumentTable(
        keys=tuple(f"00000.tar/ä {index}" for index in range(len(documents))),
        uids=rng.integers(0, 1 << 64, len(documents), dtype=np.uint64),
        input_ids=rng.integers(0, 1 << 20, total_tokens, dtype=np.int32),
        is_target=rng.integers(0, 2, total_tokens).astype(np.bool_),
        token_offsets=np.cumsum([0, *num_tokens]),
        image_types=tuple(rng.choice(["jpg", "png"], total_images).tolist()),
        image_spans=rng.integers(0, 1 << 20, (total_images, 2)),
        image_tokens=rng.integers(1, 200, total_images, dtype=np.int32),
        image_offsets=np.cumsum([0, *num_images]),
    )


def rows(table: DocumentTable) -> list[tuple[object, ...]]:
    """Return everything about each document as plain values."""
    return [
        (
            document.key,
            int(table.uids[index]),
            document.tokens.input_ids.tolist(),
            document.tokens.is_target.tolist(),
            [(image.name.rpartition(".")[2], image.offset, image.size) for image in document.images],
            document.image_tokens,
        )
        for index, document in ((index, table[index]) for index in range(len(table)))
    ]


@given(tables(), st.data())
def test_taking_any_documents_in_any_order(table: DocumentTable, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(table) - 1), max_size=9))
    taken = table.take(np.asarray(chosen, dtype=np.int64))
    assert rows(taken) == [rows(table)[index] for index in chosen]
    assert taken.lengths().tolist() == [int(table.lengths()[index]) for index in chosen]
    assert taken.tar_bytes().tolist() == [int(table.tar_bytes()[index]) for index in chosen]


@given(st.lists(tables(), min_size=1, max_size=4))
def test_concatenating_keeps_every_document(some: list[DocumentTable]) -> None:
    joined = DocumentTable.concatenate(some)
    assert rows(joined) == [row for table in some for row in rows(table)]
    assert joined.lengths().tolist() == [length for table in some for length in table.lengths().tolist()]


@given(tables())
def test_columns_are_numbers_and_give_the_table_back(table: DocumentTable) -> None:
    columns = table.columns()
    assert all(column.dtype.kind in "iub" for column in columns.values())
    assert rows(DocumentTable.from_columns(columns)) == rows(table)


def test_lengths_expand_placeholders_and_tars_pad_files() -> None:
    table = DocumentTable(
        keys=("a", "b"),
        uids=np.zeros(2, dtype=np.uint64),
        input_ids=np.arange(7, dtype=np.int32),
        is_target=np.zeros(7, dtype=np.bool_),
        token_offsets=np.asarray([0, 5, 7]),
        image_types=("jpg", "png"),
        image_spans=np.asarray([[512, 512], [2048, 513]]),
        image_tokens=np.asarray([144, 9], dtype=np.int32),
        image_offsets=np.asarray([0, 2, 2]),
    )
    # Five stored tokens, two of them placeholders of 144 and 9 visual tokens.
    assert table.lengths().tolist() == [3 + 144 + 9, 2]
    # A header of 512 bytes per file; 512 bytes fill one block, 513 two.
    assert table.tar_bytes().tolist() == [512 + 512 + 512 + 1024, 0]
    assert [image.name for image in table[0].images] == ["0.jpg", "1.png"]
