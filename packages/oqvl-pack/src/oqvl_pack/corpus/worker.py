"""The work on one source shard, and on one output shard. Worker processes run these functions."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.config import PackConfig
from oqvl_pack.corpus.assembly import assemble, count_record
from oqvl_pack.corpus.shard_packing import PackTable, ShardPacking, pack_shard
from oqvl_pack.corpus.work_files import load_work, save_work
from oqvl_pack.documents.document_table import DocumentTable
from oqvl_pack.documents.drafting import read_documents
from oqvl_pack.documents.source import SourceShard, Template
from oqvl_pack.documents.template import SpecialTokens
from oqvl_pack.documents.tokenization import DocumentTokenizer, load_tokenizer
from oqvl_shards.config import Engine
from oqvl_shards.errors import DataError
from oqvl_shards.garbage import collector_paused
from oqvl_shards.manifest import Account, Shard
from oqvl_shards.packed import reference_shard_name, shard_name, write_packed_shard, write_reference_shard
from oqvl_shards.receipt import Receipt, read_receipt, write_receipt
from oqvl_shards.tar.index import Member


@dataclass(frozen=True)
class Job:
    """The inputs that every worker needs.

    Args:
        config: The configuration.
        templates: The templates of all sources.
        step: Digest of the output's lineage; empty to write nothing.
        image_token_id: Id of the image placeholder. It is here so that workers that write do not have to read the
            tokenizer.
    """

    config: PackConfig
    templates: frozenset[Template]
    step: str = ""
    image_token_id: int = -1

    def tokenizer(self) -> DocumentTokenizer:
        """Return the tokenizer, which is read once per process."""
        if self.config.num_workers > 1 or self.config.engine is Engine.RAY:
            # Every worker is a process. More threads in each would compete for the same cores.
            os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        config = self.config
        tokens = SpecialTokens(
            image=config.image_token,
            bos=config.bos_token,
            start=config.start_token if "conversation" in self.templates else "",
            end=config.end_token,
            pad=config.pad_token,
            chunk=config.chunk_token if "interleaved" in self.templates else "",
        )
        return load_tokenizer(config.tokenizer, tokens)

    def output_name(self, output_shard: OutputShard) -> str:
        """Return the file name of an output shard."""
        index = output_shard.first_pack_id // self.config.packs_per_shard
        return reference_shard_name(index) if self.config.layout == "reference" else shard_name(index)


@dataclass(frozen=True)
class InputShard:
    """One source shard, with what the steps so far have found out about it.

    Args:
        index: Its number, counted through all sources.
        shard: The shard.
        lengths: int64 [D], expanded lengths of its documents in tokens; None until they are known.
        is_chosen: bool [D], whether each document is packed; None for all.
    """

    index: int
    shard: SourceShard
    lengths: NDArray[np.int64] | None = None
    is_chosen: NDArray[np.bool_] | None = None

    @property
    def name(self) -> str:
        """Its name in progress and errors."""
        return self.shard.name


@dataclass(frozen=True)
class OutputShard:
    """One output shard to write.

    Args:
        first_pack_id: Index of its first pack.
        packs: Its packs.
        shards: The source shards that they draw from, by index.
    """

    first_pack_id: int
    packs: PackTable
    shards: Mapping[int, SourceShard]


@dataclass(frozen=True)
class ShardSummary:
    """The part of one tokenised source shard that stays in memory while all shards are packed.

    Args:
        lengths: int64 [D], expanded lengths of its documents in tokens.
        uids: uint64 [D], see `DocumentTable`.
        num_stored: int64 [D], number of stored tokens, with one placeholder per image.
        num_images: int64 [D], number of images.
        image_bytes: int64 [D], bytes that the images take in a tar, headers included.
        rejected: Number of samples left out, by reason.
        statistics: Counts that add up over shards.
    """

    lengths: NDArray[np.int64]
    uids: NDArray[np.uint64]
    num_stored: NDArray[np.int64]
    num_images: NDArray[np.int64]
    image_bytes: NDArray[np.int64]
    rejected: Mapping[str, int]
    statistics: Mapping[str, int]


def tokenize_shard(input_shard: InputShard, job: Job) -> ShardSummary:
    """Tokenise one source shard. Unless `job.step` is empty, keep the documents for `write_shard`."""
    config = job.config
    documents = load_work(config.output, input_shard.index, job.step) if job.step else None
    if documents is None:
        tokenizer = job.tokenizer()
        with collector_paused():
            documents = read_documents(input_shard.shard, config, tokenizer)
        if job.step:
            save_work(config.output, input_shard.index, job.step, documents)
    table = documents.table
    return ShardSummary(
        lengths=table.lengths(),
        uids=table.uids,
        num_stored=np.diff(table.token_offsets),
        num_images=np.diff(table.image_offsets),
        image_bytes=table.tar_bytes(),
        rejected=documents.rejected,
        statistics=documents.statistics,
    )


def pack_input_shard(input_shard: InputShard, job: Job) -> ShardPacking:
    """Pack the chosen documents of one source shard on its own."""
    assert input_shard.lengths is not None
    return pack_shard(input_shard.lengths, input_shard.index, job.config, input_shard.is_chosen)


def write_shard(output_shard: OutputShard, job: Job) -> Receipt:
    """Write one output shard, unless an earlier run of the same step has written it.

    Raises:
        DataError: If the work file of a source shard is missing.
    """
    name = job.output_name(output_shard)
    finished = read_receipt(job.config.output, name, job.step)
    if finished is not None:
        return finished
    shard, counts = _write(output_shard, job, name)
    num_documents = counts["num_documents"]
    account = Account(num_in=num_documents, num_kept=num_documents)
    receipt = Receipt(step=job.step, shard=shard, account=account, statistics=dict(counts))
    return write_receipt(job.config.output, receipt)


def _write(output_shard: OutputShard, job: Job, name: str) -> tuple[Shard, Counter[str]]:
    """Write one output shard in the configured layout, and count what its packs hold."""
    output = job.config.output
    load_table = partial(_load_table, job, output_shard)
    packs = list(assemble(output_shard.packs, load_table, image_token_id=job.image_token_id))
    counts = sum((count_record(record) for record, _ in packs), Counter[str]())
    if job.config.layout == "reference":
        return write_reference_shard(output / name, packs, relative_to=output), counts
    embedded = [
        (record, [(output_shard.shards[image.shard].path, Member("", image.offset, image.size)) for image in images])
        for record, images in packs
    ]
    shard = write_packed_shard(output / name, embedded, first_pack_id=output_shard.first_pack_id, relative_to=output)
    return shard, counts


def _load_table(job: Job, output_shard: OutputShard, shard_index: int) -> DocumentTable:
    work = load_work(job.config.output, shard_index, job.step)
    if work is None:
        raise DataError(
            f"the tokens of {output_shard.shards[shard_index].name} are missing from {job.config.output}",
            hint="no other program may write to the output directory during packing; run the command again",
        )
    return work.table
