"""The quickstart's report: one self-contained HTML page with all pictures and charts inline."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from oqvl_shards.atomic import atomic_write
from quickstart_run import Step

TEMPLATE = Path(__file__).with_name("quickstart_report.html.j2")
ACCENT, LIGHT, SOFT, EMPTY = "#2f5fb3", "#7fa3dd", "#9aa4b1", "#e7c9c6"


@dataclass(frozen=True)
class Headline:
    """One of the three numbers at the top."""

    value: str
    title: str
    detail: str


@dataclass(frozen=True)
class Tile:
    """A picture of the pool with its caption, the filter's decision, and the reason if it was left out, if known."""

    picture: str
    caption: str
    note: str
    reason: str


@dataclass(frozen=True)
class TruthRow:
    """The filter's decisions about the samples of one kind of truth."""

    truth: str
    count: int
    kept: int


@dataclass(frozen=True)
class FilterFindings:
    """The filter's results, compared with the planted truth."""

    num_in: int
    num_seen: int
    num_kept: int
    num_clean: int
    auc: float
    precision: float
    recall: float
    noise_removed: float
    by_truth: list[TruthRow]
    reasons: list[tuple[str, int]]
    histogram: str
    kept_tiles: list[Tile]
    rejected_tiles: list[Tile]


@dataclass(frozen=True)
class PackingRow:
    """The packing of one stage."""

    stage: str
    visual_tokens: int
    documents: int
    tokens: int
    capacity: int
    packs: int
    lower_bound: int
    padded_fill: float

    @property
    def fill(self) -> float:
        """Filled share of all packs' capacity."""
        return self.tokens / (self.packs * self.capacity)


@dataclass(frozen=True)
class TrainingRow:
    """One training stage in figures."""

    stage: str
    steps: int
    global_batch_size: int
    targets: int
    first_loss: float
    last_loss: float
    tokens_per_second: str
    seconds: str


@dataclass(frozen=True)
class ScoreRow:
    """One run's accuracy with its interval."""

    run: str
    items: int
    accuracy: float
    low: float
    high: float
    by_category: list[float]


@dataclass(frozen=True)
class Answer:
    """One run's answer to one item. `shown` is the picture that the model saw, if it is not the item's own."""

    run: str
    text: str
    right: bool
    shown: str = ""


@dataclass(frozen=True)
class SampleItem:
    """One benchmark item with every run's answer."""

    picture: str
    question: str
    answer: str
    answers: list[Answer]


@dataclass(frozen=True)
class Findings:
    """Everything that the page shows."""

    scale: str
    notice: str
    machine: str
    seconds_text: str
    headline: list[Headline]
    filter: FilterFindings
    packing: list[PackingRow]
    packing_chart: str
    curves: list[str]
    training: list[TrainingRow]
    model_text: str
    num_held_out: int
    categories: list[str]
    chance: float
    chance_by_category: dict[str, float]
    scores: list[ScoreRow]
    comparisons: list[str]
    samples: list[SampleItem]
    lineage: str
    steps: list[Step]
    credit: str
    versions: str


def write_report(path: Path, findings: Findings) -> None:
    """Render `findings` to one HTML file at `path`. Every text is escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(findings=findings)
    atomic_write(path, page.encode())


def picture_uri(image: Image.Image, side: int = 72) -> str:
    """Return `image`, at most `side` pixels wide and high, as a data URI."""
    small = image.copy()
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def score_histogram(groups: Mapping[str, Sequence[float]], colours: Mapping[str, str], threshold: float) -> str:
    """Draw stacked histograms of the filtering network's score, one colour per kind of truth, and the threshold."""
    figure, axes = chart()
    values = [np.asarray(scores, dtype=float) for scores in groups.values()]
    edges = np.histogram_bin_edges(np.concatenate(values), bins=40)
    axes.hist(values, bins=edges.tolist(), stacked=True, label=list(groups), color=[colours[name] for name in groups])
    axes.axvline(threshold, color="#1b1f24", linewidth=1.2, linestyle="--", label=f"threshold {threshold:.3f}")
    axes.set_xlabel("score of the filtering network (cosine)")
    axes.set_ylabel("samples")
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=3)
    return to_svg(figure)


def loss_curve(title: str, steps: Sequence[int], losses: Sequence[float]) -> str:
    """Draw the loss per target token over the steps of one stage."""
    figure, axes = chart()
    axes.plot(steps, losses, color=SOFT, linewidth=0.8)
    window = max(1, len(losses) // 20)
    if len(losses) >= 2 * window:
        smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
        axes.plot(steps[window - 1 :], smooth, color=ACCENT, linewidth=1.8)
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel("step")
    axes.set_ylabel("loss per target token (nats)")
    axes.set_ylim(bottom=0)
    return to_svg(figure)


def packing_bars(packed: Sequence[Sequence[int]], padded: Sequence[int], capacity: int) -> str:
    """Draw the first packs as rows of documents, next to as many single documents padded to the longest.

    Args:
        packed: Document lengths of each pack, in tokens.
        padded: Document lengths in source order, in tokens.
        capacity: Capacity of a pack, in tokens.
    """
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 1))
    for row, lengths in enumerate(packed):
        start = 0
        for index, length in enumerate(lengths):
            left.barh(
                row,
                length,
                left=start,
                height=0.86,
                color=(ACCENT, LIGHT)[index % 2],
                edgecolor="white",
                linewidth=0.4,
            )
            start += length
        left.barh(row, capacity - start, left=start, height=0.86, color=EMPTY)
    left.set_title(f"the first {len(packed)} packs of {capacity} tokens", fontsize=9, loc="left")
    longest = max(padded)
    rows = np.arange(len(padded))
    right.barh(rows, padded, height=0.86, color=ACCENT)
    right.barh(rows, [longest - length for length in padded], left=list(padded), height=0.86, color=EMPTY)
    right.set_title("one batch, padded", fontsize=9, loc="left")
    for axes in (left, right):
        axes.invert_yaxis()
        axes.set_yticks([])
        axes.set_xlabel("tokens (red: empty)", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right", "left"]].set_visible(False)
    return to_svg(figure)


def chart() -> tuple[Figure, matplotlib.axes.Axes]:
    """Return an empty chart in the page's style."""
    figure = Figure(figsize=(5.2, 3.0), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return figure, axes


def to_svg(figure: Figure) -> str:
    """Return `figure` as an inline SVG element without a document type, metadata or random identifiers."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "oqvl", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    return re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
