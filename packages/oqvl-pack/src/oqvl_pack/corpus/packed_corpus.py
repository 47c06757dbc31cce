"""Tokenise all documents of all sources, choose among them, and pack them: everything except writing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.binpacking.bounds import LowerBounds, lower_bounds
from oqvl_pack.binpacking.counting_sort import count_sizes
from oqvl_pack.corpus.shard_packing import PackTable, join_shards
from oqvl_pack.corpus.worker import InputShard, Job, ShardSummary, pack_input_shard, tokenize_shard
from oqvl_pack.documents.mixture import LEFT_OUT, choose_by_shard
from oqvl_pack.documents.source import list_shards
from oqvl_pack.report import TokenBudget
from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import DataError
from oqvl_shards.manifest import Account
from oqvl_shards.shard_map import map_shards

Result = TypeVar("Result")

_MIN_POOL_DOCUMENTS = 1_000_000  # below this, starting processes takes longer than packing


@dataclass(frozen=True)
class PackedCorpus:
    """The state in which everything is packed and nothing is written.

    Args:
        source_names: Names of the sources.
        asked_tokens: For each source, the tokens that its share or budget asks for; None without either.
        input_shards: All source shards, with lengths and choice.
        summaries: What each of them holds.
        packs: The packs.
        bounds: Lower bounds on the number of packs for these documents.
        num_leftovers: Number of documents that are packed across shards.
        seconds_tokenizing: Seconds spent reading and tokenising.
        seconds_packing: Seconds spent choosing, packing and computing the bounds.
    """

    source_names: Sequence[str]
    asked_tokens: Sequence[int | None]
    input_shards: Sequence[InputShard]
    summaries: Sequence[ShardSummary]
    packs: PackTable
    bounds: LowerBounds
    num_leftovers: int
    seconds_tokenizing: float
    seconds_packing: float

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Expanded length in tokens of every packed document, int64 [D]."""
        return _of_packed([summary.lengths for summary in self.summaries], self.input_shards)

    @property
    def num_stored(self) -> NDArray[np.int64]:
        """Number of stored tokens of every packed document, with one placeholder per image, int64 [D]."""
        return _of_packed([summary.num_stored for summary in self.summaries], self.input_shards)

    @property
    def num_images(self) -> NDArray[np.int64]:
        """Number of images of every packed document, int64 [D]."""
        return _of_packed([summary.num_images for summary in self.summaries], self.input_shards)

    @property
    def image_bytes(self) -> NDArray[np.int64]:
        """Bytes that the images of every packed document take in a tar, headers included, int64 [D]."""
        return _of_packed([summary.image_bytes for summary in self.summaries], self.input_shards)

    def account(self, source: int | None = None) -> Account:
        """Return what became of the samples of one source, or of all sources."""
        return Account.total(
            _account(input_shard, summary)
            for input_shard, summary in zip(self.input_shards, self.summaries, strict=True)
            if source in (None, input_shard.shard.source)
        )

    def num_tokens(self, source: int) -> int:
        """Return the number of tokens in one source's packed documents, visual tokens included."""
        input_shards = [input_shard for input_shard in self.input_shards if input_shard.shard.source == source]
        lengths = [self.summaries[input_shard.index].lengths for input_shard in input_shards]
        return int(_of_packed(lengths, input_shards).sum())

    @property
    def token_budgets(self) -> tuple[TokenBudget, ...]:
        """The tokens asked and reached for each source that is measured in tokens."""
        return tuple(
            TokenBudget.of(name, asked, self.num_tokens(source))
            for source, (name, asked) in enumerate(zip(self.source_names, self.asked_tokens, strict=True))
            if asked is not None
        )

    def statistics(self) -> Counter[str]:
        """Return the counts that add up over shards."""
        return sum((Counter(summary.statistics) for summary in self.summaries), Counter[str]())


def pack_corpus(sources: Sequence[Dataset], job: Job) -> PackedCorpus:
    """Tokenise all source shards, choose documents, and pack them.

    Raises:
        ConfigError: If a source has less than the mixture asks for.
        DataError: If no sample can be packed, or (by default) a document is longer than a pack.
    """
    # Read and tokenise every source shard.
    started = time.perf_counter()
    input_shards = [InputShard(index, shard) for index, shard in enumerate(list_shards(sources))]
    summaries = _map(partial(tokenize_shard, job=job), input_shards, job, "tokenise")
    tokenized = time.perf_counter()
    # Choose the documents that shares and budgets ask for.
    lengths = [summary.lengths for summary in summaries]
    uids = [summary.uids for summary in summaries]
    choice = choose_by_shard(lengths, uids, [input_shard.shard.source for input_shard in input_shards], job.config)
    input_shards = [
        replace(input_shard, lengths=shard_lengths, is_chosen=is_chosen)
        for input_shard, shard_lengths, is_chosen in zip(input_shards, lengths, choice.is_chosen, strict=True)
    ]
    chosen_lengths = _of_packed(lengths, input_shards)
    if not len(chosen_lengths):
        _refuse_empty(sources, summaries, num_left_out=sum(map(len, lengths)))
    # Pack each shard on its own, then the leftovers of all shards.
    pack_one = partial(pack_input_shard, job=job)
    is_small = len(chosen_lengths) < _MIN_POOL_DOCUMENTS
    packings = list(map(pack_one, input_shards)) if is_small else _map(pack_one, input_shards, job, "pack")
    packs = join_shards(packings, lengths, job.config)
    histogram = count_sizes(chosen_lengths, int(chosen_lengths.max()))
    return PackedCorpus(
        source_names=[source.manifest.name for source in sources],
        asked_tokens=choice.token_budgets,
        input_shards=input_shards,
        summaries=summaries,
        packs=packs,
        bounds=lower_bounds(histogram, job.config.bin_capacity, max_items=job.config.max_documents),
        num_leftovers=sum(len(packing.leftovers) for packing in packings),
        seconds_tokenizing=tokenized - started,
        seconds_packing=time.perf_counter() - tokenized,
    )


def _refuse_empty(sources: Sequence[Dataset], summaries: Sequence[ShardSummary], *, num_left_out: int) -> NoReturn:
    """Raise a DataError that says why no sample is left."""
    where = ", ".join(str(source.path) for source in sources)
    rejected = sum((Counter(summary.rejected) for summary in summaries), Counter[str]())
    if num_left_out:
        raise DataError(
            f"no sample of {where} is packed: shares and budgets leave out all {num_left_out:,} documents",
            hint="raise num_tokens or the weight to at least the length of a document",
        )
    raise DataError(
        f"no sample of {where} can be packed; rejected: {dict(rejected)}",
        hint="PackReason (oqvl_pack.documents.template) and RejectReason (oqvl_shards.tar.sample) explain the reasons",
    )


def _of_packed(columns: Sequence[NDArray[np.int64]], input_shards: Sequence[InputShard]) -> NDArray[np.int64]:
    """Concatenate columns with one entry per document. Keep only the packed documents.

    Args:
        columns: int64 [D] per shard.
        input_shards: The shards.
    """
    packed = [
        column if input_shard.is_chosen is None else column[input_shard.is_chosen]
        for column, input_shard in zip(columns, input_shards, strict=True)
    ]
    return np.concatenate([np.zeros(0, dtype=np.int64), *packed])


def _account(input_shard: InputShard, summary: ShardSummary) -> Account:
    num_documents = len(summary.lengths)
    num_chosen = num_documents if input_shard.is_chosen is None else int(input_shard.is_chosen.sum())
    left_out = {LEFT_OUT: num_documents - num_chosen} if num_chosen < num_documents else {}
    rejected = {**summary.rejected, **left_out}
    return Account(num_in=num_chosen + sum(rejected.values()), num_kept=num_chosen, rejected=rejected)


def _map(
    function: Callable[[InputShard], Result], input_shards: Sequence[InputShard], job: Job, description: str
) -> list[Result]:
    return map_shards(
        function,
        input_shards,
        **job.config.workers,
        description=description,
        name=lambda input_shard: input_shard.name,
    )
