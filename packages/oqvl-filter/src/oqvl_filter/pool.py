"""Every sample of a pool's shard with its uid, including those that cannot be read.

Scoring, selecting and resharding agree on what the samples are because all of them read them here.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import DataError
from oqvl_shards.image import decode_image
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits, Sample, SampleError
from oqvl_shards.uid import Uid, sample_uid

DUPLICATE_UID = "duplicate_uid"
"""Reason of a sample that shares its uid with an earlier sample of the pool: selections are made of uids."""


class PoolSample(NamedTuple):
    """One key of a shard.

    Args:
        sample: Its members; none if the key was rejected.
        uid: Its identity: the source's, or derived from its place in the pool.
        reject: Why it cannot be used; None if it can.
    """

    sample: Sample
    uid: Uid
    reject: StrEnum | None = None


def pool_samples(reader: ShardReader, dataset_name: str) -> list[PoolSample]:
    """Return the samples of the shard in its order, followed by what the reader rejected.

    A sample whose json member is broken is rejected, because the uid in it cannot be known.

    Args:
        reader: The open shard.
        dataset_name: The pool's name, from which missing uids are derived.
    """
    samples = [_identify(sample, reader, dataset_name) for sample in reader.samples]
    for reject in reader.rejects:
        empty = Sample(reject.key, reader.name, (), ())
        samples.append(PoolSample(empty, sample_uid(empty, None, dataset_name), reject.reason))
    return samples


def check_count(reader: ShardReader, num_samples: int) -> None:
    """Check that a shard still holds what its manifest says. A damaged shard would lose samples without an account.

    Args:
        reader: The open shard.
        num_samples: Its samples in the manifest, with or without those that the reader rejects.

    Raises:
        DataError: If it holds fewer or more.
    """
    num_usable = len(reader.samples)
    if not num_usable <= num_samples <= num_usable + len(reader.rejects):
        raise DataError(
            f"{reader.path} holds {num_usable} samples, expected {num_samples} as the manifest of its pool says",
            hint="the file is damaged or has changed: `oqvl-shards check` says how; download or import it again",
        )


def shard_numbers(reader: ShardReader) -> dict[str, int]:
    """Return the index (0-based) of every shard of the reader's pool in its manifest, by the shard's name."""
    directory = reader.path.parents[len(Path(reader.name).parts) - 1]
    return {shard.path: number for number, shard in enumerate(open_dataset(directory).manifest.shards)}


def read_pair(reader: ShardReader, sample: PoolSample, limits: ReadLimits) -> tuple[str, Image.Image]:
    """Return the caption and the decoded image of `sample`.

    Raises:
        SampleError: If the sample was rejected, or its caption or image cannot be read.
    """
    if sample.reject is not None:
        raise SampleError(sample.reject)
    return reader.text(sample.sample), decode_image(reader.image(sample.sample)[1], limits)


def read_captions(reader: ShardReader, samples: Sequence[PoolSample], results: list[Any]) -> dict[int, str]:
    """Return the captions of the samples that have no result yet, by index of the sample.

    Args:
        reader: The open shard.
        samples: Its samples.
        results: [len(samples)] receives the reason why a caption cannot be read.
    """
    captions = {}
    for index, sample in enumerate(samples):
        if results[index] is None:
            try:
                captions[index] = reader.text(sample.sample)
            except SampleError as error:
                results[index] = error.reason
    return captions


def _identify(sample: Sample, reader: ShardReader, dataset_name: str) -> PoolSample:
    metadata: dict[str, Any] | None = None
    reject = None
    if sample.member("json") is not None:
        try:
            metadata = reader.json(sample)
        except SampleError as error:
            reject = error.reason
    return PoolSample(sample, sample_uid(sample, metadata, dataset_name), reject)
