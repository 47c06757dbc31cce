"""Predict what packing would write and what it saves in training, from the packs alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.binpacking.packing import pack
from oqvl_pack.binpacking.shuffle import permutation
from oqvl_pack.config import PlanConfig
from oqvl_pack.corpus.packed_corpus import PackedCorpus
from oqvl_pack.corpus.write_timing import WriteTiming
from oqvl_pack.report import PlanReport, TrainingForecast
from oqvl_shards.tar.index import BLOCK_SIZE

_STORED_TOKEN_BYTES = 5  # an int32 id and a bool
_RECORD_BYTES = 560 + BLOCK_SIZE + BLOCK_SIZE // 2  # safetensors header, tar header, half a block of padding
_DOCUMENT_BYTES = 4 + 24  # its length, and the average number of characters of its key
_IMAGE_BYTES = 8 + 7  # position and tokens, and its type in JSON
_REFERENCE_BYTES = 20  # shard, offset, size
_SECONDS_PER_HOUR = 3600


def forecast(corpus: PackedCorpus, config: PlanConfig, timing: WriteTiming) -> PlanReport:
    """Describe the packs, their size on disk in both layouts, and the sequences of other methods.

    Args:
        corpus: What was packed.
        config: The packing, and facts about the training that follows.
        timing: How long writing some of the packs took.
    """
    lengths, account, bounds = corpus.lengths, corpus.account(), corpus.bounds
    num_packs, num_tokens = corpus.packs.num_packs, int(lengths.sum())
    capacity = config.bin_capacity
    # What the same documents would need without this packing.
    num_ffd = pack(lengths, capacity, algorithm="ffd", max_items=config.max_documents).num_bins
    num_slots_padded = padded_slots(lengths, config.padding_batch, config.seed)
    # What writing takes: bytes by formula, seconds in proportion to the packs that were timed.
    num_bytes = _num_bytes(corpus)
    num_stored_tokens = sum(int(summary.num_stored.sum()) for summary in corpus.summaries)
    num_writers = max(1, min(config.num_workers, -(-num_packs // config.packs_per_shard)))
    seconds = {
        name: timing.seconds_writing(name, num_bytes[name], num_stored_tokens) / num_writers for name in num_bytes
    }
    # What one epoch costs, if every slot of a sequence costs the same.
    training = None
    if config.tokens_per_second:
        tokens_per_hour = config.tokens_per_second * _SECONDS_PER_HOUR
        training = TrainingForecast(
            num_gpus=config.num_gpus,
            gpu_hours=num_packs * capacity / tokens_per_hour,
            gpu_hours_saved_to_ffd=(num_ffd - num_packs) * capacity / tokens_per_hour,
            gpu_hours_saved_to_padding=(num_slots_padded - num_packs * capacity) / tokens_per_hour,
        )
    return PlanReport(
        num_samples=account.num_in,
        rejected=account.rejected,
        token_budgets=corpus.token_budgets,
        num_documents=account.num_kept,
        num_tokens=num_tokens,
        num_packs=num_packs,
        num_leftovers=corpus.num_leftovers,
        bin_capacity=capacity,
        bound_volume=bounds.volume,
        bound_martello_toth=bounds.martello_toth,
        bound_cardinality=bounds.cardinality,
        bound_max_documents=bounds.max_items,
        seconds_tokenizing=corpus.seconds_tokenizing,
        seconds_packing=corpus.seconds_packing,
        seconds_writing_embedded=seconds["embedded"],
        seconds_writing_reference=seconds["reference"],
        num_timed_packs=timing.num_packs,
        timing_directory=str(timing.directory),
        bytes_embedded=num_bytes["embedded"],
        bytes_reference=num_bytes["reference"],
        num_sequences_ffd=num_ffd,
        num_slots_padded=num_slots_padded,
        training=training,
    )


def padded_slots(lengths: NDArray[np.integer], batch_size: int, seed: int) -> int:
    """Count the token slots of one document per sequence, in random batches padded to the longest document.

    Args:
        lengths: [D] in tokens.
        batch_size: Documents per batch; the last batch may have fewer.
        seed: Seed of the order.
    """
    shuffled = lengths[permutation(len(lengths), seed)]
    starts = np.arange(0, len(shuffled), batch_size)
    sizes = np.diff(np.append(starts, len(shuffled)))
    return int(np.maximum.reduceat(shuffled, starts).astype(np.int64) @ sizes)


def _num_bytes(corpus: PackedCorpus) -> dict[str, int]:
    """Predict the bytes of all shards, by layout."""
    num_stored, num_images = int(corpus.num_stored.sum()), int(corpus.num_images.sum())
    records = num_stored * _STORED_TOKEN_BYTES + len(corpus.lengths) * _DOCUMENT_BYTES + num_images * _IMAGE_BYTES
    return {
        "embedded": records + corpus.packs.num_packs * _RECORD_BYTES + int(corpus.image_bytes.sum()),
        "reference": records + num_images * _REFERENCE_BYTES,
    }
