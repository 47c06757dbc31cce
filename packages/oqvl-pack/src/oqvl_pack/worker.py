"""What a worker does for one source shard, and for one output shard."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.assembly import assemble, count_record
from oqvl_pack.config import PackConfig
from oqvl_pack.division import PackTable, ShardDivision, divide_shard
from oqvl_pack.documents import DocumentTable, read_documents
from oqvl_pack.template import SpecialTokens
from oqvl_pack.tokenization import DocumentTokenizer, load_tokenizer
from oqvl_pack.workspace import ShardWork, load_work, save_work
from oqvl_shards.errors import DataError
from oqvl_shards.manifest import Account, Dataset
from oqvl_shards.packed import shard_name, write_packed_shard
from oqvl_shards.receipt import Receipt, read_receipt, write_receipt


@dataclass(frozen=True)
class Job:
    """What every worker needs to know.

    Args:
        config: The configuration.
        source: The dataset that is packed.
        step: Digest of the output's lineage; empty when nothing is to be written.
    """

    config: PackConfig
    source: Dataset
    step: str = ""

    def tokenizer(self) -> DocumentTokenizer:
        """Return the tokenizer, read once a process."""
        if self.config.num_workers > 1:  # every worker is a process: more threads in each would only fight
            os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        config = self.config
        start = config.start_token if config.template == "conversation" else ""
        tokens = SpecialTokens(config.image_token, config.bos_token, start, config.end_token, config.pad_token)
        return load_tokenizer(config.tokenizer, tokens)

    def source_name(self, shard_index: int) -> str:
        """Return the source shard's path below the dataset's directory."""
        return self.source.manifest.shards[shard_index].path

    def output_name(self, part: tuple[int, PackTable]) -> str:
        """Return the file name of the output shard that begins with the pack `part[0]`."""
        return shard_name(part[0] // self.config.packs_per_shard)


@dataclass(frozen=True)
class ShardSummary:
    """What is kept of one source shard while all are packed.

    Args:
        lengths: int64 [D], expanded lengths of its documents in tokens.
        division: Which of them it packs alone.
        account: What became of its samples.
    """

    lengths: NDArray[np.int64]
    division: ShardDivision
    account: Account


def tokenize_shard(shard_index: int, job: Job) -> ShardSummary:
    """Tokenise and divide one source shard; unless `job.step` is empty, keep the result for `write_shard`."""
    config = job.config
    work = load_work(config.output, shard_index, job.step) if job.step else None
    if work is None:
        shard = job.source.manifest.shards[shard_index]
        table, rejected = read_documents(job.source.shard_path(shard), shard.path, config, job.tokenizer())
        division = divide_shard(table.lengths(config.visual_tokens_per_image), shard_index, config)
        work = ShardWork(table, division, dict(sorted(rejected.items())))
        if job.step:
            save_work(config.output, shard_index, job.step, work)
    num_kept = len(work.table)
    account = Account(num_in=num_kept + sum(work.rejected.values()), num_kept=num_kept, rejected=work.rejected)
    return ShardSummary(work.table.lengths(config.visual_tokens_per_image), work.division, account)


def write_shard(part: tuple[int, PackTable], job: Job) -> Receipt:
    """Write one output shard, unless an earlier run of the same step has.

    Args:
        part: Index of the first pack, and the packs.
        job: The job, with its `step`.
    """
    first_pack_id, packs = part
    path = job.config.output / job.output_name(part)
    finished = read_receipt(job.config.output, path.name, job.step)
    if finished is not None:
        return finished
    assembled = list(
        assemble(
            packs,
            partial(_table, job),
            lambda shard: job.source.shard_path(job.source.manifest.shards[shard]),
            image_token_id=job.tokenizer().special_id(job.config.image_token),
            visual_tokens_per_image=job.config.visual_tokens_per_image,
        )
    )
    counts = sum((count_record(record) for record, _ in assembled), Counter[str]())
    shard = write_packed_shard(path, assembled, first_pack_id=first_pack_id, relative_to=job.config.output)
    num_documents = counts["num_documents"]
    account = Account(num_in=num_documents, num_kept=num_documents)
    receipt = Receipt(step=job.step, shard=shard, account=account, statistics=dict(counts))
    write_receipt(job.config.output, receipt)
    return receipt


def _table(job: Job, shard_index: int) -> DocumentTable:
    work = load_work(job.config.output, shard_index, job.step)
    if work is None:
        raise DataError(
            f"the tokens of {job.source_name(shard_index)} have gone from {job.config.output}",
            hint="nothing else may write to the output directory while it is packed: run again",
        )
    return work.table
