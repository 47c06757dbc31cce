"""Every sample of a pool's shard with its uid, the ones that cannot be read included.

Scoring, selecting and resharding agree on what the samples are because all of them come from here.
"""

from __future__ import annotations

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
"""Reason of a sample whose uid an earlier sample of the pool has: the uid is the unit of selection."""


class PoolSample(NamedTuple):
    """One key of a shard.

    Args:
        sample: Its members; none when the key was rejected.
        uid: Its identity: the source's, or derived from where it lies.
        reject: Why it cannot be used; None when it can.
    """

    sample: Sample
    uid: Uid
    reject: StrEnum | None = None


def pool_samples(reader: ShardReader, dataset_name: str) -> list[PoolSample]:
    """Return the samples of the shard in its order, and after them what the reader rejected.

    A sample whose json member is broken is rejected, since the uid in it cannot be known.

    Args:
        reader: The open shard.
        dataset_name: The pool's name, from which missing uids are derived.
    """
    found = [_identify(sample, reader, dataset_name) for sample in reader.samples]
    for reject in reader.rejects:
        nothing = Sample(reject.key, reader.name, (), ())
        found.append(PoolSample(nothing, sample_uid(nothing, None, dataset_name), reject.reason))
    return found


def check_count(reader: ShardReader, num_samples: int) -> None:
    """Check that a shard still holds what its manifest says: a damaged one would lose samples that no account names.

    Args:
        reader: The open shard.
        num_samples: Its samples in the manifest, those that the reader may reject left out or not.

    Raises:
        DataError: When it holds fewer or more.
    """
    least = len(reader.samples)
    if not least <= num_samples <= least + len(reader.rejects):
        raise DataError(
            f"{reader.path} holds {least} samples, expected {num_samples} as the manifest of its pool says",
            hint="the file is damaged or has changed: `oqvl-shards check` says how; fetch it again or import it anew",
        )


def shard_numbers(reader: ShardReader) -> dict[str, int]:
    """Return the place of every shard of the reader's pool in its manifest, 0-based, by the shard's name."""
    directory = reader.path.parents[len(Path(reader.name).parts) - 1]
    return {shard.path: number for number, shard in enumerate(open_dataset(directory).manifest.shards)}


def read_pair(reader: ShardReader, sample: PoolSample, limits: ReadLimits) -> tuple[str, Image.Image]:
    """Return the caption and the decoded image of `sample`.

    Raises:
        SampleError: When it was rejected, or either cannot be read.
    """
    if sample.reject is not None:
        raise SampleError(sample.reject)
    return reader.text(sample.sample), decode_image(reader.image(sample.sample)[1], limits)


def _identify(sample: Sample, reader: ShardReader, dataset_name: str) -> PoolSample:
    metadata: dict[str, Any] | None = None
    reject = None
    if sample.member("json") is not None:
        try:
            metadata = reader.json(sample)
        except SampleError as error:
            reject = error.reason
    return PoolSample(sample, sample_uid(sample, metadata, dataset_name), reject)
