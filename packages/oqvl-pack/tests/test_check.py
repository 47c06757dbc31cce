"""`check`: passes on what `run` wrote, and names every kind of difference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from oqvl_pack import check
from oqvl_pack.check import check_origin, recorded_config
from oqvl_pack.config import CheckConfig, PackConfig
from oqvl_pack.run import check_dataset, pack_dataset
from oqvl_shards.dataset import write_manifest
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.packed import Pack, PackedReader, encode_record, write_packed_shard


@pytest.fixture
def config(captions: Path, tokenizer_file: Path, tmp_path: Path) -> CheckConfig:
    output = tmp_path / "packed"
    pack_dataset(
        PackConfig(
            source=captions,
            output=output,
            tokenizer=tokenizer_file,
            bin_capacity=256,
            visual_tokens_per_image=16,
            packs_per_shard=500,
        )
    )
    return CheckConfig(packed=output, source=captions, tokenizer=tokenizer_file)


def rewrite(directory: Path, change: Callable[[list[Pack]], list[Pack]]) -> None:
    """Write the packed dataset again with other packs, digests and counts in order."""
    dataset = PackedReader(directory).dataset
    packs = change(list(PackedReader(dataset)))
    path = directory / dataset.manifest.shards[0].path
    shard = write_packed_shard(
        path, [(pack.record, pack.images) for pack in packs], first_pack_id=0, relative_to=directory
    )
    write_manifest(directory, dataset.manifest.model_copy(update={"shards": (shard,)}))


def flip_token(packs: list[Pack]) -> list[Pack]:
    record = packs[0].record
    input_ids = record.input_ids.copy()
    input_ids[5] ^= 1
    return [replace(packs[0], record=replace(record, input_ids=input_ids)), *packs[1:]]


def flip_target(packs: list[Pack]) -> list[Pack]:
    record = packs[0].record
    is_target = record.is_target.copy()
    is_target[5] ^= True
    return [replace(packs[0], record=replace(record, is_target=is_target)), *packs[1:]]


def move_boundary(packs: list[Pack]) -> list[Pack]:
    record = packs[0].record
    lengths = record.document_lengths + np.asarray([-1, 1] + [0] * (len(record.document_lengths) - 2), dtype=np.int32)
    return [replace(packs[0], record=replace(record, document_lengths=lengths)), *packs[1:]]


def swap_images(packs: list[Pack]) -> list[Pack]:
    first, second, *rest = packs[0].images
    return [replace(packs[0], images=(second, first, *rest)), *packs[1:]]


def rename_document(packs: list[Pack]) -> list[Pack]:
    record = packs[0].record
    keys = ("00009.tar/foreign", *record.document_keys[1:])
    return [replace(packs[0], record=replace(record, document_keys=keys)), *packs[1:]]


def test_passes_on_what_was_packed(config: CheckConfig) -> None:
    report = check_dataset(config)
    assert (report.num_documents, report.num_images) == (111, 111)
    assert report.rejected == {"empty_text": 3, "image_broken": 3, "image_too_small": 3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (flip_token, "1 documents differ"),
        (flip_target, "1 documents differ"),
        (move_boundary, "2 documents differ"),
        (swap_images, "2 documents differ"),
        (rename_document, "1 documents are missing"),
        (lambda packs: packs[1:], "documents are missing"),
        (lambda packs: [*packs, packs[0]], "packed more than once"),
    ],
)
def test_names_what_differs(config: CheckConfig, change: Callable[[list[Pack]], list[Pack]], message: str) -> None:
    rewrite(config.packed, change)
    with pytest.raises(DataError, match=message):
        check_dataset(config)


@pytest.mark.parametrize("layout", ["embedded", "reference"])
def test_a_source_shard_that_has_changed(config: CheckConfig, tmp_path: Path, layout: str) -> None:
    packed = config.packed
    if layout == "reference":
        packed = tmp_path / "reference"
        values = {"source": config.source, "output": packed, "tokenizer": config.tokenizer, "layout": layout}
        pack_dataset(PackConfig.model_validate(values))
    assert config.source is not None
    shard = config.source / "00001.tar"
    data = bytearray(shard.read_bytes())
    data[data.index(b"JFIF") + 200] ^= 1  # a pixel
    shard.write_bytes(data)
    with pytest.raises(DataError, match=r"00001\.tar has changed since it was packed: found sha256"):
        check_dataset(config.model_copy(update={"packed": packed}))


def test_another_source_or_tokenizer(config: CheckConfig, conversations: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_bytes(config.tokenizer.read_bytes() + b"\n")
    with pytest.raises(ConfigError, match=r"^tokenizer: .* was made from another one: .* found .*other\.json"):
        check_dataset(config.model_copy(update={"tokenizer": other}))
    with pytest.raises(ConfigError, match=r"^source: .* was made from another one: .* found .*conversations"):
        check_dataset(config.model_copy(update={"source": conversations}))
    with pytest.raises(ConfigError, match=r"^source: .* does not record where they came from"):
        check_dataset(config.model_copy(update={"source": None}))


def test_account_that_does_not_fit(config: CheckConfig) -> None:
    dataset = PackedReader(config.packed).dataset
    account = dataset.manifest.account.model_copy(update={"rejected": {"overlong": 9}})
    write_manifest(config.packed, dataset.manifest.model_copy(update={"account": account}))
    with pytest.raises(DataError, match="the manifest accounts for"):
        check_dataset(config)


def test_the_recorded_configuration_has_the_paths_that_are_given(config: CheckConfig) -> None:
    packed = PackedReader(config.packed).dataset
    recorded = recorded_config(config.model_copy(update={"num_workers": 2}), packed)
    assert (recorded.source, recorded.tokenizer, recorded.num_workers) == (config.source, config.tokenizer, 2)
    assert (recorded.bin_capacity, recorded.packs_per_shard) == (256, 500)


def test_a_mixture_needs_all_its_sources(
    captions: Path, conversations: Path, tokenizer_file: Path, tmp_path: Path
) -> None:
    mixture = [{"source": captions, "num_samples": 20}, {"source": conversations}]
    values = {"output": tmp_path / "mixed", "tokenizer": tokenizer_file, "bin_capacity": 3000}
    pack_dataset(PackConfig.model_validate({"mixture": mixture, **values}))
    settings = CheckConfig(packed=tmp_path / "mixed", mixture=(captions, conversations), tokenizer=tokenizer_file)
    report = check_dataset(settings)
    assert report.num_documents == 20 + 54
    assert report.rejected["left_out_by_budget"] == 111 - 20
    for paths in ((captions,), (conversations, captions)):
        with pytest.raises(ConfigError, match=r"^source: .* was made from another one|has fewer|only \d+"):
            check_dataset(settings.model_copy(update={"mixture": paths}))


@pytest.mark.parametrize(
    ("digests", "is_same"), [(["a", "b"], True), (["b", "a"], False), (["a"], False), (["a", "b", "c"], False)]
)
def test_origins_are_compared_in_order(config: CheckConfig, digests: list[str], is_same: bool) -> None:
    path_of = {"a": Path("first"), "b": Path("second")}
    if is_same:
        check_origin(config, "source", digests, path_of)
        return
    with pytest.raises(ConfigError, match=r"expected digest .*, found first \(a\), second \(b\)") as caught:
        check_origin(config, "source", digests, path_of)
    assert "name the unchanged source that it was packed from" in caught.value.hint


@pytest.mark.parametrize("change", [flip_token, rename_document])
def test_errors_say_what_to_do(config: CheckConfig, change: Callable[[list[Pack]], list[Pack]]) -> None:
    rewrite(config.packed, change)
    with pytest.raises(DataError) as caught:
        check_dataset(config)
    assert caught.value.hint == "pack again"
    assert str(config.packed) in caught.value.message


def test_more_documents_than_a_pack_may_hold(config: CheckConfig) -> None:
    pack = PackedReader(config.packed)[0]
    num_documents = len(pack.record.document_lengths)
    assert len(check._fingerprint_pack(pack, num_documents)) == num_documents
    assert len(check._fingerprint_pack(pack, 0)) == num_documents
    with pytest.raises(DataError, match=f"pack 0 has {num_documents} documents, expected at most {num_documents - 1}"):
        check._fingerprint_pack(pack, num_documents - 1)


def test_no_flipped_byte_passes(config: CheckConfig) -> None:
    """Damage the file itself, at a token, a target, a length, a key, a pixel: whatever is read must be the source's."""
    path = config.packed / "shard-00000.tar"
    whole = path.read_bytes()
    record = encode_record(PackedReader(config.packed)[0].record)
    begin = whole.index(record)
    header_size = 8 + int.from_bytes(record[:8], "little")
    places = {
        "size of the header": 0,
        "header": record.index(b"input_ids"),
        "key": record.index(b"00000.tar/") + 12,
        "first byte of the columns": header_size,
        "last byte of the columns": len(record) - 1,
        **{f"column byte {number}": number for number in range(header_size, len(record), len(record) // 9)},
        "image": whole.index(b"JFIF") + 300 - begin,
    }
    for name, place in places.items():
        path.write_bytes(whole[: begin + place] + bytes([whole[begin + place] ^ 1]) + whole[begin + place + 1 :])
        with pytest.raises(DataError):
            check_dataset(config)
            pytest.fail(f"a flipped bit passed: {name}")
    path.write_bytes(whole)
    assert check_dataset(config).num_documents == 111


def drop_document(packs: list[Pack]) -> list[Pack]:
    """Leave out the last document of the first pack, with its image."""
    record = packs[0].record
    num_tokens = int(record.document_lengths[:-1].sum())
    kept = replace(
        record,
        input_ids=record.input_ids[:num_tokens],
        is_target=record.is_target[:num_tokens],
        document_lengths=record.document_lengths[:-1],
        image_positions=record.image_positions[:-1],
        image_tokens=record.image_tokens[:-1],
        document_keys=record.document_keys[:-1],
        image_types=record.image_types[:-1],
    )
    return [replace(packs[0], record=kept, images=packs[0].images[:-1]), *packs[1:]]


def change_image_tokens(packs: list[Pack]) -> list[Pack]:
    record = packs[0].record
    image_tokens = record.image_tokens.copy()
    image_tokens[0] -= 1
    return [replace(packs[0], record=replace(record, image_tokens=image_tokens)), *packs[1:]]


def rename_type(packs: list[Pack]) -> list[Pack]:
    record = packs[0].record
    image_types = ("webp", *record.image_types[1:])
    return [replace(packs[0], record=replace(record, image_types=image_types)), *packs[1:]]


def exchange_keys(packs: list[Pack]) -> list[Pack]:
    record = packs[0].record
    first, second, *rest = record.document_keys
    return [replace(packs[0], record=replace(record, document_keys=(second, first, *rest))), *packs[1:]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_document, "1 documents are missing, the first is 0000"),
        (change_image_tokens, r"000000000\.safetensors: an image does not have 16 visual tokens"),
        (rename_type, "1 documents differ"),
        (exchange_keys, "2 documents differ"),
    ],
)
def test_names_the_smallest_difference(
    config: CheckConfig, change: Callable[[list[Pack]], list[Pack]], message: str
) -> None:
    rewrite(config.packed, change)
    with pytest.raises(DataError, match=message):
        check_dataset(config)


def test_the_order_of_packs_and_documents_is_free(config: CheckConfig) -> None:
    rewrite(config.packed, lambda packs: packs[::-1])
    assert check_dataset(config).num_documents == 111


def test_several_sources_of_packs_that_have_one(config: CheckConfig, conversations: Path) -> None:
    asked = config.model_copy(update={"source": None, "mixture": (config.source, conversations)})
    with pytest.raises(ConfigError, match="was packed from one source, but 2 are named") as caught:
        check_dataset(asked)
    assert caught.value.hint == "name that one with source"
    assert check_dataset(asked.model_copy(update={"mixture": (config.source,)})).num_documents == 111
