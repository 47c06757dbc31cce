"""The predictions dataset: what a model answered, raw, one row an item.

`predictions-00000.parquet`, `predictions-00001.parquet`, ... hold the columns of the item that scoring needs (see
`oqvl_eval.benchmark.ITEM_SCHEMA`), and

    column          type                                      meaning
    output          string                                    the generated text; null in likelihood mode
    candidates      list<struct<choice, text, logprob,        every continuation that was scored: its option (0-based),
                    num_tokens, blank_logprob>>               its text, its tokens' natural-log probabilities added
                                                              up, their number, and the former under blank pictures
                                                              (null: not asked); empty in generate mode
    prompt_sha256   string                                    digest of the prompt as the model saw it

A file holds one chunk of items and the digest of the lineage it was made under (in the file's own metadata), so a
killed evaluation takes up its finished chunks and no others.
"""

from __future__ import annotations

import hashlib
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
from oqvl_shards.manifest import Lineage

_LINEAGE_KEY = b"oqvl.lineage_sha256"

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
        choice: Index of the option that it stands for.
        text: The continuation.
        logprob: Sum of the natural-log probabilities of its tokens.
        num_tokens: Number of its tokens.
        blank_logprob: The same sum under blank pictures; None when it was not asked for.
    """

    choice: int
    text: str
    logprob: float
    num_tokens: int
    blank_logprob: float | None = None


@dataclass(frozen=True)
class Prediction:
    """What a model answered to one item.

    Args:
        item: The item; read back from a file, its segments are empty.
        output: The generated text; None in likelihood mode.
        candidates: The scored continuations; empty in generate mode.
        prompt_sha256: Digest of the prompt.
    """

    item: Item
    output: str | None
    candidates: tuple[Candidate, ...]
    prompt_sha256: str


def read_predictions(dataset: Dataset) -> Iterator[Prediction]:
    """Yield the predictions of `dataset` in the order of the benchmark.

    Raises:
        DataError: When a file is damaged or its rows are not as the manifest says.
    """
    for shard in dataset.manifest.shards:
        path = dataset.shard_path(shard)
        predictions = read_chunk(path)
        if len(predictions) != shard.num_samples:
            raise DataError(f"{path} holds {len(predictions)} predictions, its manifest says {shard.num_samples}")
        yield from predictions


def write_chunk(path: Path, predictions: Sequence[Prediction], lineage: Lineage) -> None:
    """Write one chunk atomically."""
    rows = [
        {
            **item_to_row(prediction.item),
            "output": prediction.output,
            "candidates": [vars(candidate) for candidate in prediction.candidates],
            "prompt_sha256": prediction.prompt_sha256,
        }
        for prediction in predictions
    ]
    schema = PREDICTIONS_SCHEMA.with_metadata({_LINEAGE_KEY: lineage_sha256(lineage)})
    with atomic_open(path) as file:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), file, compression="zstd")


def read_chunk(path: Path) -> list[Prediction]:
    """Read one chunk.

    Raises:
        DataError: When the file is missing, damaged, or lacks a column.
    """
    return _predictions(_read_table(path))


def is_finished_chunk(path: Path, items: Sequence[Item], lineage: Lineage) -> bool:
    """Return whether `path` holds the predictions for `items` made under `lineage`; False when it is not there.

    Raises:
        ConfigError: When it holds something else, which is not overwritten.
        DataError: When it is damaged.
    """
    if not path.exists():
        return False
    table = _read_table(path)
    found = (table.schema.metadata or {}).get(_LINEAGE_KEY)
    expected_items = [replace(item, segments=()) for item in items]
    if found == lineage_sha256(lineage) and [prediction.item for prediction in _predictions(table)] == expected_items:
        return True
    raise ConfigError(
        f"{path} is left from an unfinished evaluation with another configuration, benchmark or checkpoint",
        hint="choose another output directory, or delete this one",
    )


def lineage_sha256(lineage: Lineage) -> bytes:
    """Return the digest (64 hex digits) by which a chunk names the evaluation it belongs to."""
    return hashlib.sha256(lineage.model_dump_json().encode()).hexdigest().encode()


def checked_candidates(
    item: Item, continuations: Sequence[tuple[int, str]], scores: Sequence[tuple[float, int]]
) -> tuple[Candidate, ...]:
    """Join continuations with the (log-probability, number of tokens) pairs that an answerer returned.

    Raises:
        DataError: When their number differs, a log-probability is above zero or not a number, or a continuation has no
            tokens.
    """
    if len(scores) != len(continuations):
        raise DataError(
            f"item {item.item_id!r}: the answerer scored {len(scores)} continuations, expected {len(continuations)}"
        )
    candidates = []
    for (choice, text), (logprob, num_tokens) in zip(continuations, scores, strict=True):
        if math.isnan(logprob) or logprob > 1e-3 or num_tokens < 1:
            raise DataError(
                f"item {item.item_id!r}, continuation {text!r}: the answerer returned log-probability {logprob} over "
                f"{num_tokens} token(s), expected at most 0 over at least 1"
            )
        candidates.append(Candidate(choice, text, float(logprob), int(num_tokens)))
    return tuple(candidates)


def with_blank(candidates: Sequence[Candidate], blanks: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Return `candidates` with the log-probabilities that the same continuations have under blank pictures."""
    return tuple(
        replace(candidate, blank_logprob=blank.logprob) for candidate, blank in zip(candidates, blanks, strict=True)
    )


def _read_table(path: Path) -> pa.Table:
    hint = "delete it, and the manifest beside it, and evaluate again"
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path} is not a readable parquet file: {error}", hint=hint) from error
    missing = [name for name in PREDICTIONS_SCHEMA.names if name not in table.column_names]
    if missing:
        raise DataError(f"{path} lacks the columns {missing}", hint=hint)
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
