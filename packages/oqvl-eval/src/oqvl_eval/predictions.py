"""The predictions dataset: a model's raw answers, with one row per item.

`predictions-00000.parquet`, `predictions-00001.parquet`, ... have the columns of the item that scoring needs (see
`oqvl_eval.benchmark.ITEM_SCHEMA`), and these:

    column          type                                      meaning
    output          string                                    the generated text; null in likelihood mode
    candidates      list<struct<choice, text, logprob,        the continuations that were scored; empty in generate
                    num_tokens, blank_logprob>>               mode
    prompt_sha256   string                                    digest of the prompt as the model saw it

A candidate has the index of the option that it stands for, its text, the sum of its tokens' natural-log probabilities,
the number of its tokens, and the same sum under blank pictures (null if it was not asked for).

Each file has one chunk of items. Its own metadata names the evaluation that wrote it, by the digest of the lineage. A
killed evaluation therefore resumes from its own finished chunks, and from no others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from oqvl_eval.benchmark import ITEM_SCHEMA, item_from_row, item_to_row
from oqvl_eval.item import Item
from oqvl_shards.atomic import atomic_open
from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import ConfigError, DataError

_LINEAGE_KEY = b"oqvl.lineage_sha256"
_DAMAGED_HINT = "delete it and the manifest.json in its directory, and evaluate again"

PREDICTIONS_SCHEMA = pa.schema(
    [
        *ITEM_SCHEMA,
        pa.field("output", pa.string()),
        pa.field(
            "candidates",
            pa.list_(
                pa.struct(
                    [
                        ("choice", pa.int32()),
                        ("text", pa.string()),
                        ("logprob", pa.float64()),
                        ("num_tokens", pa.int32()),
                        ("blank_logprob", pa.float64()),
                    ]
                )
            ),
            nullable=False,
        ),
        pa.field("prompt_sha256", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Candidate:
    """One continuation that was scored.

    Args:
        choice: Index of the option that it stands for, from 0.
        text: The continuation.
        logprob: Sum of the natural-log probabilities of its tokens.
        num_tokens: Number of its tokens.
        blank_logprob: The same sum under blank pictures. None if it was not asked for.
    """

    choice: int
    text: str
    logprob: float
    num_tokens: int
    blank_logprob: float | None = None


@dataclass(frozen=True)
class Prediction:
    """A model's answer to one item.

    Args:
        item: The item. If it was read from a file, its segments are empty.
        output: The generated text. None in likelihood mode.
        candidates: The continuations that were scored. Empty in generate mode.
        prompt_sha256: Digest of the prompt.
    """

    item: Item
    output: str | None
    candidates: tuple[Candidate, ...]
    prompt_sha256: str


def read_predictions(dataset: Dataset) -> Iterator[Prediction]:
    """Yield the predictions of `dataset` in the order of the benchmark.

    Raises:
        DataError: If a file is damaged, or the number of its rows is not the one in the manifest.
    """
    for shard in dataset.manifest.shards:
        path = dataset.shard_path(shard)
        predictions = read_chunk(path)
        if len(predictions) != shard.num_samples:
            raise DataError(
                f"{path} has {len(predictions)} predictions, expected {shard.num_samples} according to the manifest",
                hint=_DAMAGED_HINT,
            )
        yield from predictions


def write_chunk(path: Path, predictions: Sequence[Prediction], step: str) -> None:
    """Write one chunk atomically.

    Args:
        path: The file to write.
        predictions: The chunk's predictions, in the order of the benchmark.
        step: Digest of the lineage of the evaluation (`StageOutput.step`).
    """
    rows = [
        {
            **item_to_row(prediction.item),
            "output": prediction.output,
            "candidates": [vars(candidate) for candidate in prediction.candidates],
            "prompt_sha256": prediction.prompt_sha256,
        }
        for prediction in predictions
    ]
    schema = PREDICTIONS_SCHEMA.with_metadata({_LINEAGE_KEY: step.encode()})
    with atomic_open(path) as file:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), file, compression="zstd")


def read_chunk(path: Path) -> list[Prediction]:
    """Read one chunk.

    Raises:
        DataError: If the file is missing, damaged, or lacks a column.
    """
    return _predictions(_read_table(path))


def is_finished_chunk(path: Path, items: Sequence[Item], step: str) -> bool:
    """Return whether the file at `path` has the predictions of one evaluation for `items`.

    Args:
        path: The chunk's file. If there is none, the answer is False.
        items: The items of the chunk.
        step: Digest of the lineage of the evaluation (`StageOutput.step`).

    Raises:
        ConfigError: If the file is from another evaluation, or for other items. It is not overwritten.
        DataError: If the file is damaged.
    """
    if not path.exists():
        return False
    table = _read_table(path)
    written_by = (table.schema.metadata or {}).get(_LINEAGE_KEY)
    expected_items = [replace(item, segments=()) for item in items]
    if written_by == step.encode() and [prediction.item for prediction in _predictions(table)] == expected_items:
        return True
    raise ConfigError(
        f"{path} was left by an unfinished evaluation with another configuration, benchmark or checkpoint",
        hint="choose another output directory, or delete this one",
    )


def checked_candidates(
    item: Item, continuations: Sequence[tuple[int, str]], scores: Sequence[tuple[float, int]]
) -> tuple[Candidate, ...]:
    """Join an item's continuations with the scores that an answerer returned for them, and check the scores.

    Args:
        item: The item.
        continuations: (index of the option, text) of each continuation.
        scores: (log-probability, number of tokens) of each continuation.

    Raises:
        DataError: If the numbers of scores and of continuations differ, a log-probability is above zero or not a
            number, or a continuation has no tokens.
    """
    if len(scores) != len(continuations):
        raise DataError(
            f"item {item.item_id!r}: the answerer scored {len(scores)} continuations, expected {len(continuations)}",
            hint="choice_logprobs must return one score per choice, in order",
        )
    candidates = []
    for (choice, text), (logprob, num_tokens) in zip(continuations, scores, strict=True):
        if math.isnan(logprob) or logprob > 1e-3 or num_tokens < 1:
            raise DataError(
                f"item {item.item_id!r}, continuation {text!r}: the answerer returned log-probability {logprob} over "
                f"{num_tokens} token(s), expected at most 0 over at least 1",
                hint="choice_logprobs must return the sum of the tokens' natural-log probabilities, and their number",
            )
        candidates.append(Candidate(choice, text, float(logprob), int(num_tokens)))
    return tuple(candidates)


def with_blank(candidates: Sequence[Candidate], blanks: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Return `candidates`, each with the log-probability of the same continuation under blank pictures."""
    return tuple(
        replace(candidate, blank_logprob=blank.logprob) for candidate, blank in zip(candidates, blanks, strict=True)
    )


def _read_table(path: Path) -> pa.Table:
    """Read a chunk's table, and check that it has all columns."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path} is not a readable parquet file: {error}", hint=_DAMAGED_HINT) from error
    missing = [name for name in PREDICTIONS_SCHEMA.names if name not in table.column_names]
    if missing:
        raise DataError(f"{path} lacks the columns {missing}", hint=_DAMAGED_HINT)
    return table


def _predictions(table: pa.Table) -> list[Prediction]:
    return [
        Prediction(
            item=item_from_row(row),
            output=row["output"],
            candidates=tuple(Candidate(**candidate) for candidate in row["candidates"]),
            prompt_sha256=row["prompt_sha256"],
        )
        for row in table.to_pylist()
    ]
