"""Find a threshold by looking: people judge a stratified sample, and precision and recall follow for every threshold.

The sample holds equally many from every tenth of a score, so that good and bad tails are both seen; a judged sample
then stands for its share of the pool. Intervals are Wilson's (1927) on Kish's (1965) effective sample size, so that ten
good of ten do not look certain.

    calibrate               ->  labels.csv (uid, decile, empty label) and page.html (picture and caption, no score)
    calibrate labels=FILE   ->  precision and recall by threshold
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oqvl_filter.pages.agreement import decile_of
from oqvl_filter.pages.gallery import Picture
from oqvl_filter.uid_array import hash_uids
from oqvl_shards.atomic import atomic_write
from oqvl_shards.errors import ConfigError, DataError, require_extra

LABELS_FILE, PAGE_FILE = "labels.csv", "page.html"
TEMPLATE = "templates/calibration.html.j2"
FIELDS = ("number", "uid", "decile", "label")
GOOD, BAD = frozenset({"1", "good", "yes", "y"}), frozenset({"0", "bad", "no", "n"})

Z_95 = 1.959963984540054
"""97.5th percentile of the normal distribution: two-sided intervals of 95%."""


@dataclass(frozen=True)
class Judged:
    """Samples that people have judged.

    Args:
        scores_J: Their scores.
        weights_J: How many samples of the pool each stands for.
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
    """Return (row, decile) of `per_decile` samples of every tenth of the scores, in the order of the uids' hash.

    Args:
        scores_N: The scores; NaN where a sample has none, which is never drawn.
        uids_N: Their uids.
        per_decile: Samples to draw of each tenth; all when there are fewer.
        seed: Of the hash.
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
    """Write the table to fill in and the page to look at while doing so.

    Raises:
        ConfigError: When there is such a table with labels, which would be lost.
        MissingExtraError: When the extra `report` is not installed.
    """
    with require_extra("oqvl-filter", "report"):
        import jinja2
    path = directory / LABELS_FILE
    if path.exists() and (labels := read_labels(path)):
        raise ConfigError(
            f"{path} holds {len(labels)} labels, which a new sample would replace",
            hint=f"labels={path} reads them; for a new sample choose another output directory",
        )
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(FIELDS)
    for number, (row, decile) in enumerate(drawn, start=1):
        writer.writerow([number, pictures[row].uid, decile, ""])
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(files("oqvl_filter.pages").joinpath(TEMPLATE).read_text(encoding="utf-8"))
    page = template.render(title=title, pictures=[pictures[row] for row, _ in drawn])
    atomic_write(directory / PAGE_FILE, page.encode())
    atomic_write(path, table.getvalue().encode())


def read_labels(path: Path) -> dict[str, bool]:
    """Return the judgements of a filled-in table by uid; rows without one are left out.

    Raises:
        ConfigError: When it cannot be read, or a label is neither good nor bad.
    """
    labels = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for line, row in enumerate(csv.DictReader(file), start=2):
                label = (row.get("label") or "").strip().lower()
                if label and label not in GOOD | BAD:
                    raise ConfigError(f"{path}:{line}: found the label {label!r}", hint="expected 1, 0 or nothing")
                if label:
                    labels[row["uid"]] = label in GOOD
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise ConfigError(
            f"{path} is no table of labels: {error}", hint="fill in the labels.csv of this command"
        ) from error
    return labels


def weigh(scores_N: NDArray[np.float64], names: Sequence[str], labels: Mapping[str, bool]) -> Judged:
    """Return the judged samples, each weighing as many samples as its tenth has for every one judged in it.

    Args:
        scores_N: The scores of the pool.
        names: [N] its uids.
        labels: Judgements by uid.

    Raises:
        DataError: When a judged sample has no score, or a tenth has no judgement.
    """
    rows = [row for row, name in enumerate(names) if name in labels]
    deciles_N = decile_of(scores_N)
    judged_J = deciles_N[rows]
    if len(rows) != len(labels) or (judged_J < 0).any():
        raise DataError(
            f"{len(labels)} samples are judged, {int((judged_J >= 0).sum())} of them have a score",
            hint="the labels must come from a sample of these very scores",
        )
    sizes, counts = (np.bincount(found, minlength=10) for found in (deciles_N[deciles_N >= 0], judged_J))
    unseen = np.flatnonzero((sizes > 0) & (counts == 0))
    if len(unseen):
        raise DataError(f"nothing is judged of the deciles {unseen.tolist()}", hint="fill in some labels of each")
    is_good_J = np.array([labels[names[row]] for row in rows])
    return Judged(scores_N[rows], (sizes / np.maximum(counts, 1))[judged_J], is_good_J)


def precision(judged: Judged, threshold: float) -> Share | None:
    """Return which share of the samples that score `threshold` and up is good; None when none was judged."""
    kept = judged.scores_J >= threshold
    return _share(judged.is_good_J[kept], judged.weights_J[kept])


def recall(judged: Judged, threshold: float) -> Share | None:
    """Return which share of the good samples scores `threshold` and up; None when none is good."""
    good = judged.is_good_J
    return _share(judged.scores_J[good] >= threshold, judged.weights_J[good])


def _share(hits: NDArray[np.bool_], weights: NDArray[np.float64]) -> Share | None:
    if not len(hits):
        return None
    value = float(weights[hits].sum() / weights.sum())
    effective = float(weights.sum() ** 2 / np.square(weights).sum())
    low, high = wilson_interval(value, effective)
    return Share(value, low, high)


def wilson_interval(share: float, count: float) -> tuple[float, float]:
    """Return Wilson's 95% interval of a share that was found in `count` samples."""
    squared = Z_95**2
    centre = (share + squared / (2 * count)) / (1 + squared / count)
    half = Z_95 / (1 + squared / count) * (share * (1 - share) / count + squared / (4 * count**2)) ** 0.5
    return max(centre - half, 0.0), min(centre + half, 1.0)
