"""Convert the records of a foreign file into shards: one job and one receipt per shard, one sample in memory at a time.

Jobs are planned first, so every worker knows which records to convert. Each job then writes one shard and leaves a
receipt. A later run skips the jobs that have one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from oqvl_shards.config import Workers
from oqvl_shards.errors import DataError
from oqvl_shards.image import image_size
from oqvl_shards.importers.json_records import JoinedRecords, JsonRecord, JsonRecords, join_records
from oqvl_shards.manifest import Account
from oqvl_shards.receipt import Receipt, read_receipt, remove_receipts, write_receipt
from oqvl_shards.shard_map import map_shards
from oqvl_shards.tar.sample import ReadLimits, RejectReason, SampleError
from oqvl_shards.tar.writer import TarWriter

LIMITS = ReadLimits()
"""Imported samples must be readable under the default limits of every reader."""


class ImportReason(StrEnum):
    """The importers' reasons for leaving out a record, in addition to those of `RejectReason`."""

    MISSING_IMAGE = "missing_image"
    """The image file that the record names is not there."""
    UNSAFE_PATH = "unsafe_path"
    """The image path is absolute, goes upward, holds control characters, or a link leads out of the image folder."""
    BAD_CONVERSATION = "bad_conversation"
    """`conversations` is not a list of turns, each with a known speaker and a string."""
    IMAGE_MARK_MISMATCH = "image_mark_mismatch"
    """The human turns do not hold one `<image>` mark per image, or another speaker's turn holds a mark."""
    MISALIGNED = "misaligned"
    """`texts` and `image_info` differ in length, or hold both a text and an image at the same index."""


@dataclass(frozen=True)
class ConvertedSample:
    """A record in our layout.

    Args:
        document: Content of the json member.
        images: (type, file content) of each image. Member i is named `{key}.{i}.{type}`; in a sample with a caption the
            only image is named `{key}.{type}`.
        counts: Counts to add to the dataset's statistics.
        caption: Content of the txt member of an image-text sample, which has one image; None for other kinds.
    """

    document: dict[str, Any]
    images: Sequence[tuple[str, bytes]]
    counts: Counter[str] = field(default_factory=Counter)
    caption: str | None = None


Convert = Callable[[bytes], ConvertedSample]
"""A function that turns the bytes of one record into a sample, or raises `SampleError`."""


@dataclass(frozen=True)
class ConversionJob:
    """The records that one output shard is made from.

    Args:
        shard_path: Path of the output file below the dataset's directory.
        first_key: Number of the first record. Keys count records, not samples.
        records: Where the records are.
    """

    shard_path: str
    first_key: int
    records: JsonRecords | JoinedRecords


def plan_jobs(files: Sequence[JsonRecords], records_per_shard: int) -> list[ConversionJob]:
    """Split the records of all files into jobs. A shard never takes records from two files."""
    jobs: list[ConversionJob] = []
    first_key = 0
    for file in files:
        for chunk in file.chunks(records_per_shard):
            jobs.append(ConversionJob(f"shard-{len(jobs):05d}.tar", first_key, chunk))
            first_key += len(chunk)
    return jobs


def plan_joined_jobs(files: Sequence[JsonRecords], records_per_shard: int) -> list[ConversionJob]:
    """Join whole files into jobs of at least `records_per_shard` records each; only the last job may have fewer."""
    jobs: list[ConversionJob] = []
    first_key = 0
    for joined in join_records(files, records_per_shard):
        jobs.append(ConversionJob(f"shard-{len(jobs):05d}.tar", first_key, joined))
        first_key += len(joined)
    return jobs


def convert_records(
    jobs: Sequence[ConversionJob],
    convert: Convert,
    *,
    directory: Path,
    step: str,
    max_record_bytes: int,
    workers: Workers,
    description: str,
) -> list[Receipt]:
    """Write one shard per job into `directory`. Shards that `step` has already finished are not written again.

    Args:
        jobs: The shards to write.
        convert: Converts one record; picklable, for other processes.
        directory: The output dataset's directory.
        step: Digest of the output's lineage.
        max_record_bytes: Larger records are rejected without reading them.
        workers: Where the work is done; see `map_shards`.
        description: Title of the progress bar.

    Returns:
        The receipt of every job, in order.
    """
    run_job = partial(_run_job, convert=convert, directory=directory, step=step, max_record_bytes=max_record_bytes)
    return map_shards(run_job, jobs, **workers, description=description, name=lambda job: job.shard_path)


def _run_job(job: ConversionJob, convert: Convert, directory: Path, step: str, max_record_bytes: int) -> Receipt:
    """Write the shard of one job, unless `step` has finished it already, and return its receipt."""
    if finished := read_receipt(directory, job.shard_path, step):
        return finished
    rejected: Counter[str] = Counter()
    statistics: Counter[str] = Counter()
    num_kept = 0
    with TarWriter(directory / job.shard_path) as tar:
        for index, record in enumerate(job.records.read(max_record_bytes)):
            try:
                sample = _convert_record(record, convert, max_record_bytes)
                text = _encode_document(sample.document)
            except SampleError as error:
                rejected[str(error.reason)] += 1
                continue
            _add_sample(tar, f"{job.first_key + index:09d}", sample, text)
            statistics.update(sample.counts)
            statistics.update(f"images_{image_type}" for image_type, _ in sample.images)
            num_kept += 1
    account = Account(num_in=len(job.records), num_kept=num_kept, rejected=dict(sorted(rejected.items())))
    receipt = Receipt(step=step, shard=tar.shard(num_kept, directory), account=account, statistics=statistics)
    return write_receipt(directory, receipt)


def _convert_record(record: JsonRecord, convert: Convert, max_record_bytes: int) -> ConvertedSample:
    if record.data is None:
        raise SampleError(RejectReason.JSON_TOO_LARGE, f"at most {max_record_bytes} bytes are parsed")
    return convert(record.data)


def _add_sample(tar: TarWriter, key: str, sample: ConvertedSample, text: bytes) -> None:
    """Write the members of one sample: its json, its caption if it has one, its images."""
    tar.add(f"{key}.json", text)
    if sample.caption is not None:
        tar.add(f"{key}.txt", sample.caption.encode())
    for number, (image_type, image) in enumerate(sample.images):
        stem = f"{key}.{number}" if sample.caption is None else key
        tar.add(f"{stem}.{image_type}", image)


def _encode_document(document: dict[str, Any]) -> bytes:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    if len(text) > LIMITS.max_json_bytes:
        raise SampleError(RejectReason.JSON_TOO_LARGE, f"{len(text)} bytes, at most {LIMITS.max_json_bytes} are parsed")
    return text


def check_image(data: bytes) -> str:
    """Check the header of an image file, and return its type (`jpg`, `png`, `webp`) according to its first bytes.

    Raises:
        SampleError: If it is of another format, too large, too small, or its header is broken.
    """
    if len(data) > LIMITS.max_member_bytes:
        raise SampleError(RejectReason.MEMBER_TOO_LARGE, f"{len(data)} bytes, at most {LIMITS.max_member_bytes}")
    image_size(data, LIMITS)
    if data.startswith(b"\xff\xd8"):
        return "jpg"
    return "png" if data.startswith(b"\x89PNG") else "webp"


def require_samples(receipts: Sequence[Receipt], directory: Path, source: Path) -> None:
    """Check that at least one record was converted. If not, remove the output, to make room for a corrected run.

    Args:
        receipts: The receipts of all jobs.
        directory: The output dataset's directory.
        source: Where the records were read from, for the message.

    Raises:
        DataError: If no record could be converted. It names the reasons.
    """
    account = Account.total(receipt.account for receipt in receipts)
    if not account.num_kept:
        remove_empty_shards(receipts, directory)
        remove_receipts(directory)
        reasons = ", ".join(f"{reason}: {count}" for reason, count in account.rejected.items()) or "it is empty"
        raise DataError(
            f"{source}: none of {account.num_in} records could be imported ({reasons})",
            hint="check that the source has this layout, and that the paths in it lead to the images",
        )


def remove_empty_shards(receipts: Sequence[Receipt], directory: Path) -> None:
    """Remove the shards without samples, which the manifest leaves out."""
    for receipt in receipts:
        if not receipt.shard.num_samples:
            (directory / receipt.shard.path).unlink()
