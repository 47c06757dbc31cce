"""How long writing takes: some packs are written in both layouts on the output's disk, timed, and removed."""

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
from oqvl_pack.corpus.worker import Job, OutputPart, write_shard
from oqvl_pack.documents.drafting import read_documents

_MAX_BYTES = 256 << 20  # of images that are written on trial
_STEP = "0" * 64
_PREFIX = "oqvl-pack-plan-"


@dataclass(frozen=True)
class WritingTrial:
    """What was written on trial, in one process.

    Args:
        directory: Where, or on the disk of which directory.
        num_packs: Packs.
        num_bytes: Bytes that they took, by layout.
        seconds: Seconds of writing them, by layout.
        num_tokens_kept: Tokens that were kept for later, as a run does between tokenising and writing.
        seconds_keeping: Seconds that this took.
    """

    directory: Path
    num_packs: int
    num_bytes: Mapping[str, int]
    seconds: Mapping[str, float]
    num_tokens_kept: int
    seconds_keeping: float

    def seconds_writing(self, layout: str, num_bytes: int, num_tokens: int) -> float:
        """Foretell the seconds of one process that writes `num_bytes`, of `num_tokens` in all documents."""
        of_packs = self.seconds[layout] * num_bytes / self.num_bytes[layout]
        return of_packs + self.seconds_keeping * num_tokens / self.num_tokens_kept


def write_on_trial(corpus: PackedCorpus, job: Job) -> WritingTrial:
    """Write the first packs of `corpus`, as many as one output shard holds at most, and remove them.

    The source shard that they draw from is tokenised once more, which is not counted.
    """
    packs = _sample(corpus, job.config.packs_per_shard)
    shards = {index: corpus.parts[index].shard for index in np.unique(packs.shards).tolist()}
    tokenizer = job.tokenizer()
    documents = {index: read_documents(shard, job.config, tokenizer) for index, shard in shards.items()}
    num_bytes, seconds = {}, {}
    with _temporary_directory(job.config.output) as directory:
        output = Path(directory)
        started = time.perf_counter()
        for index, one in documents.items():
            save_work(output, index, _STEP, one)
        seconds_keeping = time.perf_counter() - started
        for layout in ("embedded", "reference"):
            config = job.config.model_copy(update={"output": output, "layout": layout})
            started = time.perf_counter()
            receipt = write_shard(OutputPart(0, packs, shards), replace(job, config=config, step=_STEP))
            seconds[layout] = time.perf_counter() - started
            num_bytes[layout] = receipt.shard.num_bytes
    num_tokens_kept = sum(len(one.table.input_ids) for one in documents.values())
    return WritingTrial(output.parent, packs.num_packs, num_bytes, seconds, num_tokens_kept, seconds_keeping)


def _sample(corpus: PackedCorpus, num_packs: int) -> PackTable:
    """Return the first packs, as long as they draw from one source shard and are not too large."""
    packs = corpus.packs.part(0, min(num_packs, corpus.packs.num_packs))
    image_bytes = np.empty(len(packs.documents), dtype=np.int64)
    for index in np.unique(packs.shards).tolist():
        is_of_shard = packs.shards == index
        image_bytes[is_of_shard] = corpus.summaries[index].image_bytes[packs.documents[is_of_shard]]
    is_elsewhere = packs.shards != packs.shards[0]
    ends = packs.offsets[1:] - 1
    is_taken = (np.cumsum(image_bytes)[ends] <= _MAX_BYTES) & (np.cumsum(is_elsewhere)[ends] == 0)
    return packs.part(0, max(1, int(is_taken.sum())))


def _temporary_directory(output: Path) -> tempfile.TemporaryDirectory[str]:
    """Return one in the directory nearest to `output` that exists, or where temporary files go if that is refused."""
    nearest = next(path for path in (output.absolute(), *output.absolute().parents) if path.is_dir())
    try:
        return tempfile.TemporaryDirectory(prefix=_PREFIX, dir=nearest)
    except OSError:  # it may not be written
        return tempfile.TemporaryDirectory(prefix=_PREFIX)
