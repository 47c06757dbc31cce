"""Prove that a packed dataset equals its source: every document once, with the same tokens, targets and images."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import accumulate, compress, zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np

from oqvl_pack.config import CheckConfig, PackConfig
from oqvl_pack.corpus.worker import Job
from oqvl_pack.documents.drafting import read_documents
from oqvl_pack.documents.mixture import LEFT_OUT, choose_by_shard
from oqvl_pack.documents.source import SourceShard, list_shards
from oqvl_pack.report import CheckReport
from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.manifest import PackedDetails
from oqvl_shards.packed import Pack, PackedReader
from oqvl_shards.packed.reference import open_sources as open_packed_sources
from oqvl_shards.shard_map import map_shards
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import member_type


class _Fingerprint(NamedTuple):
    """A document's source key, and a digest of its tokens, its targets, and its image files with their types."""

    key: str
    digest: bytes
    num_images: int


class _SourceFingerprints(NamedTuple):
    """All documents of one source shard that can be packed.

    Args:
        fingerprints: [D].
        lengths: int64 [D], expanded lengths in tokens.
        uids: uint64 [D], low 64 bits of the uids.
        rejected: Number of samples left out, by reason.
    """

    fingerprints: list[_Fingerprint]
    lengths: np.ndarray
    uids: np.ndarray
    rejected: dict[str, int]


def recorded_config(config: CheckConfig, packed: Dataset) -> PackConfig:
    """Return the configuration that `packed` was made with, using the paths of `config`.

    Raises:
        ConfigError: If `config` names no source and the packs do not record theirs, or if it names several sources and
            the packs have one.
    """
    values = dict(packed.manifest.lineage.config.get("config", {}))
    paths = config.mixture or ((config.source,) if config.source else ())
    details = packed.manifest.details
    if not paths and isinstance(details, PackedDetails) and details.layout == "reference":
        paths = tuple(source.dataset.path for source in open_packed_sources(packed))
    if not paths:
        raise ConfigError(
            f"source: {config.packed} embeds its images and does not record where they came from",
            hint="name the source that it was packed from, or all sources in order with mixture",
        )
    if values.get("mixture"):
        parts = zip_longest(values["mixture"], paths)
        values["mixture"] = [{**(part or {}), "source": path} for part, path in parts if path is not None]
    elif len(paths) > 1:
        raise ConfigError(
            f"mixture: {config.packed} was packed from one source, but {len(paths)} are named",
            hint="name that one with source",
        )
    else:
        values["source"] = paths[0]
    values |= {"output": config.packed, "tokenizer": config.tokenizer, **config.workers}
    return PackConfig.from_values(values, where=str(packed.path))


def check_origin(config: CheckConfig, noun: str, expected: Sequence[str], path_of: Mapping[str, Path]) -> None:
    """Compare the digests that the manifest records with those of files and directories.

    Args:
        config: What is checked.
        noun: `source` or `tokenizer`.
        expected: The recorded digests, in order.
        path_of: The path of each digest that was computed, in order.

    Raises:
        ConfigError: If they differ.
    """
    if list(path_of) != list(expected):
        named = ", ".join(f"{path} ({digest})" for digest, path in path_of.items())
        raise ConfigError(
            f"{noun}: {config.packed} was made from another one: expected digest {', '.join(expected)}, found {named}",
            hint=f"name the unchanged {noun} that it was packed from; for a mixture name all of them, in order",
        )


def check_packed(packed: Dataset, sources: Sequence[Dataset], job: Job) -> CheckReport:
    """Compare every document of `packed` with its sample in `sources`, tokenised again.

    Raises:
        DataError: If a pack is damaged or over capacity, a document is missing, foreign, repeated or changed, the
            accounts differ, or a source shard differs from its manifest.
    """
    fingerprints = _fingerprint_packs(packed, job)
    expected, rejected = _fingerprint_sources(sources, job)
    where = str(packed.path)
    _check_once(fingerprints, where)
    _check_equal(fingerprints, expected, where)
    account = packed.manifest.account
    if account.rejected != rejected or account.num_kept != len(fingerprints):
        raise DataError(
            f"{where}: the manifest accounts for {account.num_kept} documents and {account.rejected}, "
            f"found {len(fingerprints)} and {rejected}",
            hint="pack again",
        )
    return CheckReport(
        packed=where,
        num_packs=packed.manifest.num_samples,
        num_documents=len(fingerprints),
        num_images=sum(fingerprint.num_images for fingerprint in fingerprints),
        rejected=rejected,
    )


def _fingerprint_packs(packed: Dataset, job: Job) -> list[_Fingerprint]:
    """Fingerprint every document of every pack. Each worker takes one packed shard at a time."""
    ends = list(accumulate(shard.num_samples for shard in packed.manifest.shards))
    ranges = [range(end - shard.num_samples, end) for shard, end in zip(packed.manifest.shards, ends, strict=True)]
    fingerprints_by_range = map_shards(
        partial(_fingerprint_pack_range, packed=packed, max_documents=job.config.max_documents),
        ranges,
        **job.config.workers,
        description="packs",
        name=lambda packs: f"{packed.path}, packs {packs.start} to {packs.stop - 1}",
    )
    return [fingerprint for fingerprints in fingerprints_by_range for fingerprint in fingerprints]


def _fingerprint_sources(sources: Sequence[Dataset], job: Job) -> tuple[list[_Fingerprint], dict[str, int]]:
    """Return the fingerprints of the documents that the packs must hold, and the samples left out, by reason."""
    shards = list_shards(sources)
    digests = [shard.sha256 for source in sources for shard in source.manifest.shards]
    source_fingerprints = map_shards(
        partial(_fingerprint_source_shard, job=job),
        list(zip(shards, digests, strict=True)),
        **job.config.workers,
        description="source",
        name=lambda item: item[0].name,
    )
    choice = choose_by_shard(
        [shard.lengths for shard in source_fingerprints],
        [shard.uids for shard in source_fingerprints],
        [shard.source for shard in shards],
        job.config,
    )
    rejected = sum((Counter(shard.rejected) for shard in source_fingerprints), Counter[str]())
    expected = []
    for shard, is_chosen in zip(source_fingerprints, choice.is_chosen, strict=True):
        chosen = shard.fingerprints if is_chosen is None else list(compress(shard.fingerprints, is_chosen))
        rejected[LEFT_OUT] += len(shard.fingerprints) - len(chosen)
        expected += chosen
    return expected, dict(sorted((+rejected).items()))


def _fingerprint_pack_range(pack_ids: range, packed: Dataset, max_documents: int) -> list[_Fingerprint]:
    return [
        fingerprint
        for pack in PackedReader(packed).iter_packs(pack_ids)
        for fingerprint in _fingerprint_pack(pack, max_documents)
    ]


def _fingerprint_pack(pack: Pack, max_documents: int) -> list[_Fingerprint]:
    """Fingerprint the documents of one pack.

    Raises:
        DataError: If it has more than `max_documents`; 0 for no limit.
    """
    record = pack.record
    if max_documents and len(record.document_lengths) > max_documents:
        raise DataError(
            f"pack {pack.pack_id} has {len(record.document_lengths)} documents, expected at most {max_documents}",
            hint="pack again",
        )
    token_ends = np.cumsum(record.document_lengths)
    image_ends = np.searchsorted(record.image_positions, token_ends)
    fingerprints = []
    token_begin = image_begin = 0
    for key, token_end, image_end in zip(record.document_keys, token_ends, image_ends, strict=True):
        tokens = slice(token_begin, token_end)
        images = pack.images[image_begin:image_end]
        image_tokens = record.image_tokens[image_begin:image_end].tolist()
        image_types = record.image_types[image_begin:image_end]
        digest = _digest(record.input_ids[tokens], record.is_target[tokens], image_tokens, image_types, images)
        fingerprints.append(_Fingerprint(key, digest, len(images)))
        token_begin, image_begin = token_end, image_end
    return fingerprints


def _fingerprint_source_shard(item: tuple[SourceShard, str], job: Job) -> _SourceFingerprints:
    """Tokenise one source shard again, and fingerprint its documents.

    Args:
        item: The shard, and the sha256 in its manifest.
        job: The configuration and the tokenizer.
    """
    shard, sha256 = item
    _check_unchanged(shard, sha256)
    documents = read_documents(shard, job.config, job.tokenizer())
    table = documents.table
    with ShardReader(shard.path, job.config.limits, name=shard.name) as reader:
        fingerprints = []
        for index in range(len(table)):
            document = table[index]
            images = [reader.read(image) for image in document.images]
            tokens = document.tokens
            image_types = [member_type(image.name) for image in document.images]
            digest = _digest(tokens.input_ids, tokens.is_target, document.image_tokens, image_types, images)
            fingerprints.append(_Fingerprint(document.key, digest, len(images)))
    return _SourceFingerprints(fingerprints, table.lengths(), table.uids, documents.rejected)


def _check_unchanged(shard: SourceShard, sha256: str) -> None:
    """Compare the file with its manifest.

    Packs of layout `reference` point into the file. Without this check, they would change with it and still seem equal.

    Raises:
        DataError: If the file has changed.
    """
    with shard.path.open("rb") as file:
        file_sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if file_sha256 != sha256:
        raise DataError(
            f"{shard.path} has changed since it was packed: found sha256 {file_sha256}, expected {sha256}",
            hint="restore the file, or make its dataset again and pack that",
        )


def _digest(
    input_ids: np.ndarray,
    is_target: np.ndarray,
    image_tokens: Sequence[int],
    image_types: Sequence[str],
    images: Sequence[bytes],
) -> bytes:
    digest = hashlib.sha256(input_ids.tobytes())
    digest.update(is_target.tobytes())
    digest.update(repr((tuple(image_tokens), tuple(image_types))).encode())
    for image in images:
        digest.update(hashlib.sha256(image).digest())
    return digest.digest()


def _check_once(fingerprints: Sequence[_Fingerprint], where: str) -> None:
    counts = Counter(fingerprint.key for fingerprint in fingerprints)
    repeated = [key for key, count in counts.items() if count > 1]
    if repeated:
        raise DataError(
            f"{where}: {len(repeated)} documents are packed more than once, the first is {repeated[0]}",
            hint="pack again",
        )


def _check_equal(fingerprints: Sequence[_Fingerprint], expected: Sequence[_Fingerprint], where: str) -> None:
    """Compare the documents of the packs with those of the sources.

    Raises:
        DataError: If a document is missing, foreign or changed; the message names the first.
    """
    packed_digest = {fingerprint.key: fingerprint.digest for fingerprint in fingerprints}
    source_digest = {fingerprint.key: fingerprint.digest for fingerprint in expected}
    problems = {
        "are missing": [key for key in source_digest if key not in packed_digest],
        "are not in the source": [key for key in packed_digest if key not in source_digest],
        "differ from their sample in tokens, targets or images": [
            key for key, digest in packed_digest.items() if source_digest.get(key, digest) != digest
        ],
    }
    for problem, keys in problems.items():
        if keys:
            raise DataError(f"{where}: {len(keys)} documents {problem}, the first is {keys[0]}", hint="pack again")
