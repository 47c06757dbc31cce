"""Measure how long writing takes: write some packs in both layouts to the output's disk, then remove them.

The trade-off: a forecast costs one output shard of writing, at most 256 MB of images per layout. Cheaper guesses
ignored the speed of the disk, which matters most.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from oqvl_pack.corpus.packed_corpus import PackedCorpus
from oqvl_pack.corpus.shard_packing import PackTable
from oqvl_pack.corpus.work_files import save_work
from oqvl_pack.corpus.worker import Job, OutputShard, write_shard
from oqvl_pack.documents.drafting import read_documents

_MAX_BYTES = 256 << 20  # of images that are written
_STEP = "0" * 64
_PREFIX = "oqvl-pack-plan-"


@dataclass(frozen=True)
class WriteTiming:
    """The amount that was written in one process, and how long it took.

    Args:
        directory: Where it was written, in a temporary directory that has been removed.
        num_packs: Number of packs.
        num_bytes: Bytes that they took, by layout.
        seconds: Seconds to write them, by layout.
        num_work_tokens: Number of tokens in the work files, which a run keeps between tokenising and writing.
        seconds_saving_work: Seconds to write the work files.
    """

    directory: Path
    num_packs: int
    num_bytes: Mapping[str, int]
    seconds: Mapping[str, float]
    num_work_tokens: int
    seconds_saving_work: float

    def seconds_writing(self, layout: str, num_bytes: int, num_tokens: int) -> float:
        """Predict the seconds for one process to write a whole dataset.

        Args:
            layout: `embedded` or `reference`.
            num_bytes: Bytes of all shards in this layout.
            num_tokens: Number of stored tokens of all documents.
        """
        of_packs = self.seconds[layout] * num_bytes / self.num_bytes[layout]
        return of_packs + self.seconds_saving_work * num_tokens / self.num_work_tokens


def time_writing(corpus: PackedCorpus, job: Job) -> WriteTiming:
    """Write the first packs of `corpus`, at most as many as one output shard holds, and remove them.

    Their source shard is tokenised again, which is not timed.
    """
    packs = _first_packs(corpus, job.config.packs_per_shard)
    shards = {index: corpus.input_shards[index].shard for index in np.unique(packs.shards).tolist()}
    tokenizer = job.tokenizer()
    documents = {index: read_documents(shard, job.config, tokenizer) for index, shard in shards.items()}
    num_bytes, seconds = {}, {}
    with _temporary_directory(job.config.output) as directory:
        output = Path(directory)
        # Time the work files.
        started = time.perf_counter()
        for index, shard_documents in documents.items():
            save_work(output, index, _STEP, shard_documents)
        seconds_saving_work = time.perf_counter() - started
        # Time the packs in each layout.
        for layout in ("embedded", "reference"):
            config = job.config.model_copy(update={"output": output, "layout": layout})
            started = time.perf_counter()
            receipt = write_shard(OutputShard(0, packs, shards), replace(job, config=config, step=_STEP))
            seconds[layout] = time.perf_counter() - started
            num_bytes[layout] = receipt.shard.num_bytes
    return WriteTiming(
        directory=output.parent,
        num_packs=packs.num_packs,
        num_bytes=num_bytes,
        seconds=seconds,
        num_work_tokens=sum(len(shard_documents.table.input_ids) for shard_documents in documents.values()),
        seconds_saving_work=seconds_saving_work,
    )


def _first_packs(corpus: PackedCorpus, num_packs: int) -> PackTable:
    """Return at most the first `num_packs` packs, up to `_MAX_BYTES` of images, all from one source shard."""
    packs = corpus.packs.between(0, min(num_packs, corpus.packs.num_packs))
    image_bytes = np.empty(len(packs.documents), dtype=np.int64)
    for index in np.unique(packs.shards).tolist():
        is_of_shard = packs.shards == index
        image_bytes[is_of_shard] = corpus.summaries[index].image_bytes[packs.documents[is_of_shard]]
    is_elsewhere = packs.shards != packs.shards[0]
    # A pack counts if all packs up to its last document stay within both limits.
    ends = packs.offsets[1:] - 1
    is_taken = (np.cumsum(image_bytes)[ends] <= _MAX_BYTES) & (np.cumsum(is_elsewhere)[ends] == 0)
    return packs.between(0, max(1, int(is_taken.sum())))


def _temporary_directory(output: Path) -> tempfile.TemporaryDirectory[str]:
    """Make a directory in the nearest existing parent of `output`, or among temporary files if that is not writable."""
    nearest = next(path for path in (output.absolute(), *output.absolute().parents) if path.is_dir())
    try:
        return tempfile.TemporaryDirectory(prefix=_PREFIX, dir=nearest)
    except OSError:  # no permission to write there
        return tempfile.TemporaryDirectory(prefix=_PREFIX)
