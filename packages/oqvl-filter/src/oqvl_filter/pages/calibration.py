"""Find a threshold by judging: people label a stratified sample, which gives precision and recall for every threshold.

The sample holds equally many from every tenth of a score, so that both the good and the bad tail are seen. Each judged
sample then represents its share of the pool. Intervals are Wilson's (1927) on Kish's (1965) effective sample size.

    calibrate               ->  labels.csv (uid, decile, empty label) and page.html (picture and caption, no score)
    calibrate labels=FILE   ->  precision and recall by threshold

J judged samples.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oqvl_filter.interval import wilson_interval
from oqvl_filter.pages.agreement import decile_of
from oqvl_filter.pages.gallery import Picture
from oqvl_filter.pages.report import ThresholdRow
from oqvl_filter.pages.template import render
from oqvl_filter.uid_array import hash_uids
from oqvl_shards.atomic import atomic_write
from oqvl_shards.errors import ConfigError, DataError

_LABELS_FILE, _PAGE_FILE = "labels.csv", "page.html"
_TEMPLATE = "calibration.html.j2"
_FIELDS = ("number", "uid", "decile", "label")
_GOOD, _BAD = frozenset({"1", "good", "yes", "y"}), frozenset({"0", "bad", "no", "n"})


@dataclass(frozen=True)
class Judged:
    """Samples that people have judged.

    Args:
        scores_J: Their scores.
        weights_J: The number of samples of the pool that each represents.
        is_good_J: The judgements.
    """

    scores_J: NDArray[np.float64]
    weights_J: NDArray[np.float64]
    is_good_J: NDArray[np.bool_]


@dataclass(frozen=True)
class Share:
    """An estimated share with its 95% interval."""

    value: float
    low: float
    high: float


def draw_sample(
    scores_N: NDArray[np.float64], uids_N: NDArray[np.void], per_decile: int, seed: int
) -> list[tuple[int, int]]:
    """Return (row, decile) of `per_decile` random samples of every tenth of the scores, in random order.

    Both are decided by the hash of the uids, so the same scores give the same sample.

    Args:
        scores_N: The scores; a sample with NaN is never drawn.
        uids_N: The samples' uids.
        per_decile: Samples to draw from each tenth; all if there are fewer.
        seed: Seed of the hash.
    """
    deciles_N = decile_of(scores_N)
    order_N = np.argsort(hash_uids(uids_N, seed), kind="stable")
    drawn = [(int(row), decile) for decile in range(10) for row in order_N[deciles_N[order_N] == decile][:per_decile]]
    places_N = np.empty(len(order_N), dtype=np.int64)
    places_N[order_N] = np.arange(len(order_N))
    return sorted(drawn, key=lambda entry: places_N[entry[0]])


def write_sample(
    directory: Path, title: str, drawn: Sequence[tuple[int, int]], pictures: Mapping[int, Picture]
) -> None:
    """Write the table to fill in, and the page to look at while doing so.

    Args:
        directory: Where to write both.
        title: Title of the page.
        drawn: Row and decile of every sample, in the order of the page.
        pictures: The samples' pictures by row.

    Raises:
        ConfigError: If the directory has such a table with labels, which would be lost.
        MissingExtraError: If the extra `report` is not installed.
    """
    path = directory / _LABELS_FILE
    if path.exists() and (labels := read_labels(path)):
        raise ConfigError(
            f"{path} holds {len(labels)} labels, which a new sample would replace",
            hint=f"give labels={path} to use them, or choose another output directory for a new sample",
        )
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(_FIELDS)
    for number, (row, decile) in enumerate(drawn, start=1):
        writer.writerow([number, pictures[row].uid, decile, ""])
    page = render(_TEMPLATE, title=title, pictures=[pictures[row] for row, _ in drawn])
    atomic_write(directory / _PAGE_FILE, page)
    atomic_write(path, table.getvalue().encode())


def read_labels(path: Path) -> dict[str, bool]:
    """Return the judgements in a filled-in table by uid, without the rows that have no label.

    Raises:
        ConfigError: If the table cannot be read, or if a label is neither good nor bad.
    """
    labels = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for line, row in enumerate(csv.DictReader(file), start=2):
                label = (row.get("label") or "").strip().lower()
                if label and label not in _GOOD | _BAD:
                    raise ConfigError(f"{path}:{line}: found the label {label!r}", hint="expected 1, 0 or nothing")
                if label:
                    labels[row["uid"]] = label in _GOOD
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise ConfigError(
            f"{path} is not a table of labels: {error}", hint="fill in the labels.csv of this command"
        ) from error
    return labels


def weigh(scores_N: NDArray[np.float64], names: Sequence[str], labels: Mapping[str, bool]) -> Judged:
    """Return the judged samples; each represents an equal part of the samples in its tenth.

    Args:
        scores_N: The scores of the pool.
        names: [N] uids of the pool.
        labels: Judgements by uid.

    Raises:
        DataError: If a judged sample has no score, or a tenth has no judgement.
    """
    rows = [row for row, name in enumerate(names) if name in labels]
    deciles_N = decile_of(scores_N)
    judged_J = deciles_N[rows]
    if len(rows) != len(labels) or (judged_J < 0).any():
        raise DataError(
            f"{len(labels)} samples are judged, {int((judged_J >= 0).sum())} of them have a score",
            hint="the labels must come from a sample of the same scores",
        )
    sizes, counts = (np.bincount(deciles, minlength=10) for deciles in (deciles_N[deciles_N >= 0], judged_J))
    unseen = np.flatnonzero((sizes > 0) & (counts == 0))
    if len(unseen):
        raise DataError(
            f"no sample of the deciles {unseen.tolist()} is judged", hint="fill in some labels of each decile"
        )
    is_good_J = np.array([labels[names[row]] for row in rows])
    return Judged(scores_N[rows], (sizes / np.maximum(counts, 1))[judged_J], is_good_J)


def precision(judged: Judged, threshold: float) -> Share | None:
    """Return the share of good samples among those with a score of at least `threshold`; None if none is judged."""
    kept = judged.scores_J >= threshold
    return _share(judged.is_good_J[kept], judged.weights_J[kept])


def recall(judged: Judged, threshold: float) -> Share | None:
    """Return the share of the good samples that have a score of at least `threshold`; None if no sample is good."""
    good = judged.is_good_J
    return _share(judged.scores_J[good] >= threshold, judged.weights_J[good])


def measure_thresholds(judged: Judged, scores_N: NDArray[np.float64]) -> list[ThresholdRow]:
    """Return what keeping the samples from each decile's bound up does, by ascending threshold.

    Args:
        judged: The judged samples.
        scores_N: The scores of the pool; its minimum and its nine deciles become the thresholds.
    """
    known_N = scores_N[np.isfinite(scores_N)]
    rows = []
    for threshold in np.unique(np.percentile(known_N, range(0, 100, 10))).tolist():
        shares = (precision(judged, threshold), recall(judged, threshold))
        precise, recalled = (None if share is None else (share.value, share.low, share.high) for share in shares)
        kept = float((known_N >= threshold).mean())
        rows.append(ThresholdRow(threshold=threshold, kept=kept, precision=precise, recall=recalled))
    return rows


def _share(hits: NDArray[np.bool_], weights: NDArray[np.float64]) -> Share | None:
    """Return the weighted share of hits, with its interval on the effective sample size; None without samples."""
    if not len(hits):
        return None
    value = float(weights[hits].sum() / weights.sum())
    effective = float(weights.sum() ** 2 / np.square(weights).sum())
    low, high = wilson_interval(value, effective)
    return Share(value, low, high)
