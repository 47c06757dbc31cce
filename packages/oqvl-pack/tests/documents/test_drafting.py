"""Reading a source shard: what becomes of every sample."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from oqvl_pack.config import PackConfig
from oqvl_pack.corpus.worker import Job
from oqvl_pack.documents.document_table import DocumentTable
from oqvl_pack.documents.drafting import read_documents
from oqvl_pack.documents.source import list_shards, open_sources
from oqvl_shards.errors import DataError
from oqvl_shards.manifest import ConversationDetails, ImageTextDetails, InterleavedDetails
from oqvl_shards.tar.sample import Sample
from oqvl_shards.uid import sample_uid, uid_to_words


def read(source: Path, tokenizer: Path, **values: object) -> tuple[DocumentTable, Counter[str]]:
    config = PackConfig.model_validate({"source": source, "output": source, "tokenizer": tokenizer, **values})
    shard = list_shards(open_sources(config))[0]
    documents = read_documents(shard, config, Job(config, frozenset({shard.template})).tokenizer())
    return documents.table, Counter(documents.rejected)


def test_captions(captions: Path, tokenizer_file: Path) -> None:
    table, rejected = read(captions, tokenizer_file, visual_tokens_per_image=16)
    assert rejected == {"image_broken": 1, "image_too_small": 1, "empty_text": 1}
    assert len(table) == 37
    assert table.keys[:4] == tuple(f"00000.tar/00000{i}" for i in range(4))
    document = table[3]
    assert document.images[0].name == "0.png"
    # Begin, image, newline, 28 characters, end; the mark and the end token in the caption are characters.
    assert len(document.tokens.input_ids) == 32
    assert document.tokens.is_target.tolist() == [False, False, *[True] * 30]
    assert table.lengths()[3] == 47


def test_conversations(conversations: Path, tokenizer_file: Path) -> None:
    table, rejected = read(conversations, tokenizer_file, template="conversation")
    assert rejected == {"image_mark_mismatch": 1, "bad_conversation": 1, "empty_answer": 1}
    assert np.diff(table.image_offsets).tolist() == [i % 3 for i in range(30) if i not in (4, 5, 6)]


def test_overlong_document_is_named_or_counted(captions: Path, tokenizer_file: Path) -> None:
    values = {"visual_tokens_per_image": 16, "bin_capacity": 50}
    with pytest.raises(DataError, match=r"00000.tar/00000\d has \d+ tokens, but a pack holds 50"):
        read(captions, tokenizer_file, **values)
    table, rejected = read(captions, tokenizer_file, overlong="drop", **values)
    assert rejected["overlong"] > 0
    assert len(table) + rejected.total() == 40
    assert table.lengths().max() <= 50


def test_decoding_finds_what_the_header_hides(tmp_path: Path, captions: Path, tokenizer_file: Path) -> None:
    path = captions / "00000.tar"
    data = bytearray(path.read_bytes())
    start = data.index(b"IHDR", data.index(b"000003.png")) + 40
    data[start : start + 40] = bytes(40)
    path.write_bytes(data)
    assert read(captions, tokenizer_file)[1]["image_broken"] == 1
    assert read(captions, tokenizer_file, image_check="decode")[1]["image_broken"] == 2


def test_interleaved(interleaved: Path, tokenizer_file: Path) -> None:
    table, rejected = read(interleaved, tokenizer_file, max_images=2)
    # Documents 5, 8, 11, 17 have three images; of 14's three the last is cut.
    assert rejected == {"bad_interleaved": 1, "too_few_images": 2, "missing_image": 1, "too_many_images": 4}
    assert table.keys[:2] == ("00000.tar/000003", "00000.tar/000004")
    assert np.diff(table.image_offsets).tolist() == [1, 1, 1, 2, 2, 1, 2, 2, 1, 2, 1, 1]
    # Begin, 20 letters, chunk, image, newline and 13 letters, chunk, end.
    assert np.diff(table.token_offsets)[0] == 1 + 20 + 1 + 1 + 14 + 1 + 1
    assert np.flatnonzero(~table[0].tokens.is_target).tolist() == [0, 22]


def test_trailing_images_are_counted(interleaved: Path, tokenizer_file: Path) -> None:
    config = PackConfig(source=interleaved, output=interleaved, tokenizer=tokenizer_file)
    shard = list_shards(open_sources(config))[0]
    documents = read_documents(shard, config, Job(config, frozenset({"interleaved"})).tokenizer())
    assert documents.statistics == {"num_trailing_images_cut": 3}
    kept, rejected = read(interleaved, tokenizer_file, trailing_images="keep")
    assert len(kept.image_types) - len(documents.table.image_types) == 3 + 1  # document 9 had one image, the last
    assert "too_few_images" not in rejected


def test_visual_tokens_of_a_field(interleaved: Path, captions: Path, tokenizer_file: Path) -> None:
    table, rejected = read(interleaved, tokenizer_file, visual_tokens_field="tokens")
    assert table[0].image_tokens == (3,)
    assert table[2].image_tokens == (3, 4, 5)
    assert (table.lengths() - np.diff(table.token_offsets))[[0, 2]].tolist() == [2, 9]
    assert "bad_visual_tokens" not in rejected
    # Of the captions, one has a json member, and none the field.
    assert read(captions, tokenizer_file, visual_tokens_field="tokens")[1]["bad_visual_tokens"] == 1


@pytest.mark.parametrize(
    ("value", "expected"), [(7, (7, 7)), ([3, 4], (3, 4)), ([3], None), (True, None), (0, None), ([3, "4"], None)]
)
def test_visual_tokens_are_a_number_or_one_an_image(
    make_dataset: Callable[..., Path],
    png: bytes,
    tmp_path: Path,
    tokenizer_file: Path,
    value: object,
    expected: tuple[int, ...] | None,
) -> None:
    turns = [{"from": "human", "value": "<image><image>"}, {"from": "gpt", "value": "a"}]
    document = json.dumps({"conversations": turns, "n": value}).encode()
    sample = {"json": document, "0.png": png, "1.png": png}
    source = make_dataset(tmp_path / "one", [[sample]], ConversationDetails())
    table, rejected = read(source, tokenizer_file, visual_tokens_field="n")
    assert [table[i].image_tokens for i in range(len(table))] == ([expected] if expected else [])
    assert rejected["bad_visual_tokens"] == (expected is None)


def test_uids_are_read_where_they_choose(
    make_dataset: Callable[..., Path], tokenizer_file: Path, tmp_path: Path
) -> None:
    picture = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x08\x00\x00\x00\x08\x08\x02\x00\x00\x00\x4b\x6d\x29\xdc"
    samples = [
        {"png": picture, "txt": b"a", "json": json.dumps({"uid": "F" * 16 + "000000000000002A"}).encode()},
        {"png": picture, "txt": b"b"},
        {"png": picture, "txt": b"c", "json": b"{broken"},
    ]
    source = make_dataset(tmp_path / "pairs", [samples[:0], samples], ImageTextDetails(), "pairs")
    mixture = [{"source": source, "num_samples": 1}]
    values = {"output": tmp_path, "tokenizer": tokenizer_file, "visual_tokens_per_image": 4}
    for parts, is_read in ((mixture, True), ([{"source": source}], False)):
        config = PackConfig.model_validate({"mixture": parts, **values})
        # In a mixture of several the names of shards begin with their dataset's; derived uids do not know of that.
        shard = list_shards([*open_sources(config)] * 2)[1]
        table = read_documents(shard, config, Job(config, frozenset({"caption"})).tokenizer()).table
        assert table.keys == tuple(f"pairs/00001.tar/00000{number}" for number in range(3))
        expected = [0x2A, *(derived_uid("pairs", "00001.tar", f"00000{number}") for number in (1, 2))]
        assert table.uids.tolist() == (expected if is_read else [0, 0, 0])


def derived_uid(dataset: str, shard: str, key: str) -> int:
    return uid_to_words(sample_uid(Sample(key, shard, (), ()), None, dataset).value)[1]


def test_every_rejection_is_counted_once(
    make_dataset: Callable[..., Path], png: bytes, tmp_path: Path, tokenizer_file: Path
) -> None:
    samples = [
        {"png": png, "txt": b"good"},
        {"txt": b"no image"},
        {"0.png": png, "1.png": png, "txt": b"two images"},
        {"png": b"broken", "txt": b"broken image"},
        {"png": png, "txt": b" "},
        {"png": png, "txt": b"long" * 100},
    ]
    source = make_dataset(tmp_path / "pairs", [samples], ImageTextDetails())
    table, rejected = read(source, tokenizer_file, visual_tokens_per_image=4, bin_capacity=50, overlong="drop")
    assert table.keys == ("00000.tar/000000",)
    assert rejected == {"no_image": 1, "many_images": 1, "image_broken": 1, "empty_text": 1, "overlong": 1}
    assert len(table) + rejected.total() == len(samples)


def test_an_overlong_document_says_what_to_do(captions: Path, tokenizer_file: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(captions, tokenizer_file, visual_tokens_per_image=16, bin_capacity=50)
    assert caught.value.hint == "raise bin_capacity, or leave out such documents with overlong=drop"


def test_the_longest_document_that_fits_is_kept(captions: Path, tokenizer_file: Path) -> None:
    longest = int(read(captions, tokenizer_file, visual_tokens_per_image=16)[0].lengths().max())
    table, rejected = read(captions, tokenizer_file, visual_tokens_per_image=16, bin_capacity=longest)
    assert (int(table.lengths().max()), rejected["overlong"]) == (longest, 0)
    dropped = read(captions, tokenizer_file, visual_tokens_per_image=16, bin_capacity=longest - 1, overlong="drop")[1]
    assert dropped["overlong"] >= 1


def test_a_system_prompt_is_for_conversations_alone(conversations: Path, captions: Path, tokenizer_file: Path) -> None:
    prompt = "You are kind."
    with_prompt = read(conversations, tokenizer_file, system_prompt=prompt)[0]
    without = read(conversations, tokenizer_file, system_prompt="")[0]
    # Two special tokens, "system", two newlines, and the prompt, one token per byte.
    assert set((with_prompt.lengths() - without.lengths()).tolist()) == {2 + len("system\n") + len(prompt) + 1}
    captioned = [read(captions, tokenizer_file, system_prompt=text)[0].lengths().tolist() for text in (prompt, "")]
    assert captioned[0] == captioned[1]


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x15
    path.write_bytes(data)


def test_a_damaged_header_does_not_hide_the_samples_after_it(captions: Path, tokenizer_file: Path) -> None:
    path = captions / "00000.tar"
    flip(path, path.read_bytes().index(b"000020.jpg") + 150)  # in the checksum of the header
    with pytest.raises(DataError, match=r"00000\.tar holds 19 samples, expected 40 as its manifest says") as caught:
        read(captions, tokenizer_file)
    assert "`oqvl-shards check` says how" in caught.value.hint


def test_samples_that_nobody_counted_are_refused(
    make_dataset: Callable[..., Path], png: bytes, tmp_path: Path, tokenizer_file: Path
) -> None:
    sample = {"png": png, "txt": b"a"}
    few = make_dataset(tmp_path / "few", [[sample] * 2], ImageTextDetails())
    config = PackConfig(source=few, output=few, tokenizer=tokenizer_file)
    [shard] = list_shards(open_sources(config))
    many = make_dataset(tmp_path / "many", [[sample] * 3], ImageTextDetails())
    (many / "00000.tar").replace(shard.path)
    with pytest.raises(DataError, match=r"holds 3 samples, expected 2"):
        read_documents(shard, config, Job(config, frozenset({"caption"})).tokenizer())


def test_no_flipped_byte_opens_the_account(
    make_dataset: Callable[..., Path], png: bytes, tmp_path: Path, tokenizer_file: Path
) -> None:
    samples = [{"png": png, "txt": b"caption %d" % number} for number in range(3)]
    source = make_dataset(tmp_path / "pairs", [samples], ImageTextDetails())
    config = PackConfig(source=source, output=source, tokenizer=tokenizer_file, visual_tokens_per_image=4)
    [shard] = list_shards(open_sources(config))
    tokenizer = Job(config, frozenset({"caption"})).tokenizer()
    whole = shard.path.read_bytes()
    outcomes: Counter[str] = Counter()
    for place in range(0, len(whole), 53):
        flip(shard.path, place)
        try:
            documents = read_documents(shard, config, tokenizer)
        except DataError:
            outcomes["refused"] += 1
        else:
            # A new name may split a sample into two, each of which lacks a member and is counted.
            num_rejected = sum(documents.rejected.values())
            assert len(documents.table) + num_rejected >= 3
            assert len(set(documents.table.keys)) == len(documents.table)
            outcomes["rejected" if num_rejected else "packed"] += 1
        shard.path.write_bytes(whole)
    assert set(outcomes) == {"refused", "rejected", "packed"}


@pytest.mark.parametrize("name", ["json", "", ".", "../0.png", "0.PNG", "0", "png", "0.png\0", "é.png", "9" * 5000])
def test_images_are_named_by_the_suffix_of_a_member(
    make_dataset: Callable[..., Path], png: bytes, tmp_path: Path, tokenizer_file: Path, name: str
) -> None:
    documents = [{"texts": [None, "a"], "images": [image, None]} for image in ("0.png", name)]
    samples = [{"json": json.dumps(document).encode(), "0.png": png} for document in documents]
    source = make_dataset(tmp_path / "documents", [samples], InterleavedDetails())
    table, rejected = read(source, tokenizer_file)
    assert (table.keys, rejected) == (("00000.tar/000000",), {"missing_image": 1})


def test_one_image_may_come_twice(
    make_dataset: Callable[..., Path], png: bytes, tmp_path: Path, tokenizer_file: Path
) -> None:
    document = json.dumps({"texts": [None, None, "a"], "images": ["0.png", "0.png", None]}).encode()
    source = make_dataset(tmp_path / "documents", [[{"json": document, "0.png": png}]], InterleavedDetails())
    table, rejected = read(source, tokenizer_file)
    assert (len(table), rejected) == (1, {})
    assert table.image_spans[0].tolist() == table.image_spans[1].tolist()


@pytest.mark.parametrize("uid", [5, "", "g" * 32, "a" * 31, None, True, ["a"], {"a": 1}, "a" * 5000])
def test_a_malformed_uid_is_derived_from_the_key(
    make_dataset: Callable[..., Path], png: bytes, tmp_path: Path, tokenizer_file: Path, uid: object
) -> None:
    sample = {"png": png, "txt": b"a", "json": json.dumps({"uid": uid}).encode()}
    source = make_dataset(tmp_path / "pairs", [[sample]], ImageTextDetails(), "pairs")
    mixture = [{"source": source, "num_samples": 1}]
    config = PackConfig.model_validate({"mixture": mixture, "output": tmp_path, "tokenizer": tokenizer_file})
    [shard] = list_shards(open_sources(config))
    table = read_documents(shard, config, Job(config, frozenset({"caption"})).tokenizer()).table
    assert table.uids.tolist() == [derived_uid("pairs", "00000.tar", "000000")]
