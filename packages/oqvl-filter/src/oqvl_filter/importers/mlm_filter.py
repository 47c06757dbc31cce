"""MLM-Filter's output: `{shard:08d}_{metric}.parquet`, the json fields of every sample and the model's raw answer.

The answer is text: a number from 0 to 100 on the first line, then an explanation. An answer without such a number gives
no score and is counted. The metrics of one shard become the columns of one score file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from oqvl_filter.importers.config import ImportLimits
from oqvl_filter.importers.foreign_table import is_text, read_parquet
from oqvl_filter.score_file import REJECT_FIELD
from oqvl_shards.errors import DataError

_SHORT_NAMES = {
    "image_text_matching": "itm",
    "object_detail_fulfillment": "odf",
    "caption_text_quality": "ctq",
    "semantic_understanding": "su",
}
"""The four metrics of Wang et al., 2024, arXiv 2403.02677, and their names here."""

_UNPARSABLE = "unparsable_score"
"""Reason of a row whose answers hold no number from 0 to 100."""

_SUFFIX = "_score"


def shard_of(path: Path) -> str:
    """Return the part of a file's name that all metrics of a shard share: `00000012` of `00000012_su.parquet`."""
    return path.stem.partition("_")[0]


def parse_score(answer: str) -> int | None:
    """Return the number on the answer's first line, ignoring commas and semicolons; None if it is not 0 to 100."""
    first = answer.strip().partition("\n")[0].replace(",", "").replace(";", "").strip()
    return int(first) if re.fullmatch(r"[0-9]{1,3}", first) and int(first) <= 100 else None


def read_answers(paths: Sequence[Path], identity: str, limits: ImportLimits) -> pa.Table:
    """Read the metrics of one shard: the column `identity` (`uid` or `key`), an int16 column per metric, and `reject`.

    There is one row per sample that any of the files names, in the order of first occurrence.

    Raises:
        DataError: If a file is damaged or holds no answers, or if two files hold the same metric.
    """
    scores: dict[str, dict[str | None, int | None]] = {}
    names: dict[str | None, None] = {}
    for path in paths:
        table = read_parquet(path, limits)
        metrics = [name for name in table.column_names if name.endswith(_SUFFIX) and name != "similarity_score"]
        answers = {name: table[name] for name in metrics if is_text(table[name].type)}
        if identity not in table.column_names or not answers:
            raise DataError(
                f"{path}: found the columns {table.column_names}, expected {identity!r} and METRIC{_SUFFIX} of text",
                hint="for rows without a uid give pool=POOL, and they are found by key",
            )
        rows = table[identity].cast(pa.string()).to_pylist()
        names.update(dict.fromkeys(rows))
        for name, column in answers.items():
            metric = name.removesuffix(_SUFFIX)
            metric = _SHORT_NAMES.get(metric, metric)
            if metric in scores:
                raise DataError(f"{path}: another file of shard {shard_of(path)} has the metric {metric!r} too")
            parsed = (None if answer is None else parse_score(answer) for answer in column.to_pylist())
            # Of rows about the same sample the first one counts, as everywhere.
            scores[metric] = dict(zip(reversed(rows), reversed(list(parsed)), strict=True))
    columns = {
        metric: pa.array([by_name.get(name) for name in names], pa.int16()) for metric, by_name in scores.items()
    }
    is_unparsable = (all(by_name.get(name) is None for by_name in scores.values()) for name in names)
    unparsable = [_UNPARSABLE if unparsable else None for unparsable in is_unparsable]
    return pa.table(
        {identity: pa.array(list(names), pa.string()), **columns, REJECT_FIELD.name: pa.array(unparsable, pa.string())}
    )
