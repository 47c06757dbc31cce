"""Proof that a packed dataset is its source: every document once, its tokens, targets and images unchanged."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import accumulate, compress
from typing import NamedTuple

import numpy as np

from oqvl_pack.corpus.worker import Job
from oqvl_pack.documents.drafting import read_documents
from oqvl_pack.documents.mixture import LEFT_OUT, choose_by_shard
from oqvl_pack.documents.source import SourceShard, list_shards
from oqvl_pack.report import CheckReport
from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import DataError
from oqvl_shards.packed import Pack, PackedReader
from oqvl_shards.shard_map import map_shards
from oqvl_shards.tar.reader import ShardReader


class _Fingerprint(NamedTuple):
    """A document's source key, and a digest over its tokens, its targets and its image files."""

    key: str
    digest: bytes
    num_images: int


class _SourceFingerprints(NamedTuple):
    """All documents of one source shard that could be packed, their expanded lengths and uids, and who was left out."""

    fingerprints: list[_Fingerprint]
    lengths: np.ndarray
    uids: np.ndarray
    rejected: dict[str, int]


def check_packed(packed: Dataset, sources: Sequence[Dataset], job: Job) -> CheckReport:
    """Compare every document of `packed` with its sample in `sources`, tokenised again.

    Raises:
        DataError: When a pack is damaged or over capacity, a document is missing, foreign, twice or changed, the
            accounts differ, or a source shard is not what its manifest says.
    """
    found = _fingerprint_packs(packed, job)
    expected, rejected = _fingerprint_sources(sources, job)
    where = str(packed.path)
    _check_once(found, where)
    _check_equal({one.key: one.digest for one in found}, {one.key: one.digest for one in expected}, where)
    account = packed.manifest.account
    if account.rejected != rejected or account.num_kept != len(found):
        raise DataError(
            f"{where}: the manifest accounts for {account.num_kept} documents and {account.rejected}, "
            f"found {len(found)} and {rejected}"
        )
    return CheckReport(
        packed=where,
        num_packs=packed.manifest.num_samples,
        num_documents=len(found),
        num_images=sum(one.num_images for one in found),
        rejected=rejected,
    )


def _fingerprint_packs(packed: Dataset, job: Job) -> list[_Fingerprint]:
    ends = list(accumulate(shard.num_samples for shard in packed.manifest.shards))
    ranges = [range(end - shard.num_samples, end) for shard, end in zip(packed.manifest.shards, ends, strict=True)]
    found = map_shards(
        partial(_fingerprint_pack_range, packed=packed, max_documents=job.config.max_documents),
        ranges,
        **job.config.workers,
        description="packs",
        name=lambda packs: f"{packed.path}, packs {packs.start} to {packs.stop - 1}",
    )
    return [one for part in found for one in part]


def _fingerprint_sources(sources: Sequence[Dataset], job: Job) -> tuple[list[_Fingerprint], dict[str, int]]:
    shards = list_shards(sources)
    digests = [shard.sha256 for source in sources for shard in source.manifest.shards]
    parts = map_shards(
        partial(_fingerprint_source_shard, job=job),
        list(zip(shards, digests, strict=True)),
        **job.config.workers,
        description="source",
        name=lambda item: item[0].name,
    )
    choice = choose_by_shard(
        [part.lengths for part in parts],
        [part.uids for part in parts],
        [shard.source for shard in shards],
        job.config,
    )
    rejected = sum((Counter(part.rejected) for part in parts), Counter[str]())
    expected = []
    for part, is_chosen in zip(parts, choice.is_chosen, strict=True):
        kept = part.fingerprints if is_chosen is None else list(compress(part.fingerprints, is_chosen))
        rejected[LEFT_OUT] += len(part.fingerprints) - len(kept)
        expected += kept
    return expected, dict(sorted((+rejected).items()))


def _fingerprint_pack_range(pack_ids: range, packed: Dataset, max_documents: int) -> list[_Fingerprint]:
    return [
        fingerprint
        for pack in PackedReader(packed).iter_packs(pack_ids)
        for fingerprint in _fingerprint_pack(pack, max_documents)
    ]


def _fingerprint_pack(pack: Pack, max_documents: int) -> list[_Fingerprint]:
    record = pack.record
    if max_documents and len(record.document_lengths) > max_documents:
        raise DataError(f"pack {pack.pack_id} holds {len(record.document_lengths)} documents, at most {max_documents}")
    token_ends = np.cumsum(record.document_lengths)
    image_ends = np.searchsorted(record.image_positions, token_ends)
    fingerprints = []
    token_begin = image_begin = 0
    for key, token_end, image_end in zip(record.document_keys, token_ends, image_ends, strict=True):
        tokens = slice(token_begin, token_end)
        images = pack.images[image_begin:image_end]
        image_tokens = record.image_tokens[image_begin:image_end].tolist()
        digest = _digest(record.input_ids[tokens], record.is_target[tokens], image_tokens, images)
        fingerprints.append(_Fingerprint(key, digest, len(images)))
        token_begin, image_begin = token_end, image_end
    return fingerprints


def _fingerprint_source_shard(item: tuple[SourceShard, str], job: Job) -> _SourceFingerprints:
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
            digest = _digest(tokens.input_ids, tokens.is_target, document.image_tokens, images)
            fingerprints.append(_Fingerprint(document.key, digest, len(images)))
    return _SourceFingerprints(fingerprints, table.lengths(), table.uids, documents.rejected)


def _check_unchanged(shard: SourceShard, sha256: str) -> None:
    """Compare the file with its manifest: packs of layout `reference` would change with it, and seem equal."""
    with shard.path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise DataError(
            f"{shard.path} has changed since it was packed: found sha256 {found}, expected {sha256}",
            hint="put it back as it was, or make its dataset again and pack that",
        )


def _digest(
    input_ids: np.ndarray, is_target: np.ndarray, image_tokens: Sequence[int], images: Sequence[bytes]
) -> bytes:
    digest = hashlib.sha256(input_ids.tobytes())
    digest.update(is_target.tobytes())
    digest.update(repr(tuple(image_tokens)).encode())
    for image in images:
        digest.update(hashlib.sha256(image).digest())
    return digest.digest()


def _check_once(found: Sequence[_Fingerprint], where: str) -> None:
    twice = [key for key, count in Counter(one.key for one in found).items() if count > 1]
    if twice:
        raise DataError(f"{where}: {len(twice)} documents are packed more than once, the first is {twice[0]}")


def _check_equal(found: dict[str, bytes], expected: dict[str, bytes], where: str) -> None:
    problems = {
        "are missing": [key for key in expected if key not in found],
        "are not in the source": [key for key in found if key not in expected],
        "differ from their sample in tokens, targets or images": [
            key for key in found if key in expected and found[key] != expected[key]
        ],
    }
    for problem, keys in problems.items():
        if keys:
            raise DataError(f"{where}: {len(keys)} documents {problem}, the first is {keys[0]}", hint="pack again")
