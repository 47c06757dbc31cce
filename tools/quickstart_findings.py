"""The quickstart's findings: figures and pictures for the report, read from the datasets that the stages wrote."""

from __future__ import annotations

import io
import operator
import os
import platform
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

import emoji_pool
from emoji_pool import EmojiPoolConfig, PoolSample, Truth
from oqvl_eval.benchmark import Benchmark
from oqvl_eval.controls import Pictures
from oqvl_eval.predictions import Prediction, read_predictions
from oqvl_eval.report import CompareReport, ScoreReport
from oqvl_eval.scoring import judge
from oqvl_shards.dataset import open_dataset
from oqvl_shards.manifest import Kind
from oqvl_shards.packed import Pack, PackedReader
from oqvl_shards.report import lineage_tree
from oqvl_train.metrics import read_metrics
from quickstart_report import (
    Answer,
    FilterFindings,
    Findings,
    Headline,
    PackingRow,
    SampleItem,
    ScoreRow,
    Tile,
    TrainingRow,
    TruthRow,
    loss_curve,
    packing_bars,
    picture_uri,
    score_histogram,
)
from quickstart_run import Run, Scale

NUM_TILES = 24
NUM_SAMPLES = 8
PADDED_BATCH = 16
COPIES = (Truth.GOOD, Truth.EXACT_COPY, Truth.REENCODED_COPY)
RUN_TITLES = {
    "base": "pre-trained",
    "sft": "fine-tuned",
    "sft-shuffled": "fine-tuned, shuffled pictures",
    "sft-free": "fine-tuned, free answer (a letter)",
}
NOTICES = {
    Scale.CI: "This scale is for checks: little data and few steps. Every stage runs, but the scores mean nothing.",
    Scale.DEFAULT: "",
}
SIGNIFICANCE = 0.05
CONDITION = re.compile(r"\w+\.(\w+) (<=|>=|<|>) (\S+)")
"""A comparison as it is written in an account, e.g. `rules.width >= 32`."""
COMPARISONS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
TRUTH_COLOURS = {
    Truth.GOOD: "#1a7f4b",
    Truth.MISMATCHED: "#b3372f",
    Truth.BOILERPLATE: "#d98e04",
    Truth.EXACT_COPY: "#7fa3dd",
    Truth.REENCODED_COPY: "#2f5fb3",
    Truth.TINY: "#8a63b8",
}


def collect_findings(run: Run, data: EmojiPoolConfig) -> Findings:
    """Read all figures and pictures of the report."""
    split = emoji_pool.split_concepts(data)
    pool = emoji_pool.with_cut_off(emoji_pool.make_pool(data, split.pool), data.num_cut_off)
    filtering = filter_findings(run, pool, len(split.clean))
    packing = [packing_row("pre-train", Path("packed-pretrain")), packing_row("SFT", Path("packed-sft"))]
    scores: dict[str, ScoreReport] = {name: run.reports[f"score-{name}"] for name in RUN_TITLES}
    categories = sorted(scores["sft"].categories)
    chance = scores["sft"].chance or 0.0
    return Findings(
        scale=run.scale.value,
        notice=NOTICES[run.scale],
        machine=f"{os.cpu_count()} CPU cores ({cpu_name()})",
        seconds_text=f"{sum(step.seconds for step in run.steps):.0f} s",
        headline=headlines(filtering, packing, scores, chance),
        filter=filtering,
        packing=packing,
        packing_chart=packing_chart(Path("packed-pretrain")),
        curves=[curve("pretrain", "pre-training"), curve("sft", "fine-tuning")],
        training=[training_row(run, "pretrain", "pre-train"), training_row(run, "sft", "SFT")],
        model_text=model_text(),
        num_held_out=len(split.held_out),
        categories=categories,
        chance=chance,
        chance_by_category=dict.fromkeys(categories, chance),
        scores=[score_row(RUN_TITLES[name], report, categories) for name, report in scores.items()],
        comparisons=[
            compare_stages(run.reports["compare-base-sft"]),
            compare_pictures(run.reports["compare-shuffled-sft"]),
        ],
        samples=sample_items(run, split.held_out, data.seed),
        lineage=lineage_text(Path("predictions/sft")),
        steps=run.steps,
        credit=emoji_pool.CREDIT,
        versions=versions_text(),
    )


def headlines(
    filtering: FilterFindings, packing: Sequence[PackingRow], scores: dict[str, ScoreReport], chance: float
) -> list[Headline]:
    """Return the three numbers at the top."""
    sft, shuffled = scores["sft"].overall, scores["sft-shuffled"].overall
    return [
        Headline(
            f"{100 * filtering.precision:.1f}%",
            "of what the filter kept is good",
            f"{100 * filtering.recall:.1f}% of the good pairs kept, "
            f"{100 * filtering.noise_removed:.1f}% of the noise removed",
        ),
        Headline(
            f"{100 * packing[0].fill:.1f}%",
            "of every pre-training pack is filled",
            f"{100 * packing[0].padded_fill:.1f}% when padded; {packing[0].packs} packs, "
            f"lower bound {packing[0].lower_bound}",
        ),
        Headline(
            f"{100 * sft.accuracy:.1f}%",
            "right of four names on unseen concepts",
            f"chance {100 * chance:.0f}%, under shuffled pictures {100 * shuffled.accuracy:.1f}%",
        ),
    ]


def filter_findings(run: Run, pool: Sequence[PoolSample], num_clean: int) -> FilterFindings:
    """Compare the filter's decision about every sample of the pool with the planted truth."""
    scores = pool_scores(Path("scores/rules"), Path("scores/dfn"))
    kept_uids = set(subset_uids(Path("subset")))
    kept = {key for key, row in scores.items() if row["uid"] in kept_uids}
    by_truth = [
        TruthRow(
            truth.value, sum(s.truth is truth for s in pool), sum(s.truth is truth and s.key in kept for s in pool)
        )
        for truth in Truth
    ]
    good = [sample for sample in pool if sample.truth in COPIES]
    pictures = {sample.original or sample.caption for sample in good}
    kept_pictures = {sample.original or sample.caption for sample in good if sample.key in kept}
    noise = len(pool) - len(pictures)
    kept_noise = len(kept) - len(kept_pictures)
    with_score = [sample for sample in pool if scores.get(sample.key, {}).get("clip_score") is not None]
    groups = {
        truth.value: values
        for truth in TRUTH_COLOURS
        if (values := [scores[sample.key]["clip_score"] for sample in with_score if sample.truth is truth])
    }
    threshold = min(scores[key]["clip_score"] for key in kept)
    account = run.reports["select"].account
    left_out = [sample for sample in with_score if sample.key not in kept]
    kept_rows = [scores[key] for key in kept]
    return FilterFindings(
        num_in=len(pool),
        num_seen=account.num_in,
        num_kept=len(kept),
        num_clean=num_clean,
        auc=run.reports["train-dfn"].held_out_auc,
        precision=len(kept_pictures) / len(kept),
        recall=len(kept_pictures) / len(pictures),
        noise_removed=1 - kept_noise / noise,
        by_truth=by_truth,
        reasons=list(account.rejected.items()),
        histogram=score_histogram(groups, {t.value: colour for t, colour in TRUTH_COLOURS.items()}, threshold),
        kept_tiles=tiles([sample for sample in pool if sample.key in kept], scores, {}),
        rejected_tiles=tiles(
            left_out,
            scores,
            {s.key: why_left_out(scores[s.key], kept_rows, account.rejected, threshold) for s in left_out},
        ),
    )


def why_left_out(
    row: Mapping[str, Any], kept_rows: Iterable[Mapping[str, Any]], reasons: Iterable[str], threshold: float
) -> str:
    """Return the reason of an account that applies to a sample; empty if the sample's columns do not show it.

    Args:
        row: The sample's scores.
        kept_rows: The scores of every kept sample.
        reasons: The account's reasons.
        threshold: Lowest score of a kept sample.
    """
    for reason in reasons:
        condition = CONDITION.fullmatch(reason)
        if condition and not COMPARISONS[condition[2]](row[condition[1]], float(condition[3])):
            return reason
    for reason in reasons:
        if " in top(" in reason and row["clip_score"] < threshold:
            return reason
    for reason in reasons:
        column = reason.rpartition(".")[2]
        if reason.startswith("one per ") and any(row[column] == kept[column] for kept in kept_rows):
            return reason
    return ""


def pool_scores(*directories: Path) -> dict[str, dict[str, Any]]:
    """Return the columns of all score datasets over the pool, joined by the sample's key."""
    joined: dict[str, dict[str, Any]] = {}
    for directory in directories:
        dataset = open_dataset(directory, Kind.SCORES)
        for shard in dataset.manifest.shards:
            for row in pq.read_table(dataset.shard_path(shard)).to_pylist():
                joined.setdefault(row["key"], {}).update(row)
    return joined


def subset_uids(directory: Path) -> Iterable[str]:
    """Return the uids (32 hex digits) of a subset."""
    dataset = open_dataset(directory, Kind.SUBSET)
    for shard in dataset.manifest.shards:
        for high, low in np.load(dataset.shard_path(shard), allow_pickle=False).tolist():
            yield f"{high:016x}{low:016x}"


def tiles(samples: Sequence[PoolSample], scores: dict[str, dict[str, Any]], reasons: Mapping[str, str]) -> list[Tile]:
    """Return pictures from the whole range of scores, highest first. `reasons` maps keys to why they were left out."""
    ordered = sorted(samples, key=lambda sample: -scores[sample.key]["clip_score"])
    chosen = [ordered[index] for index in np.linspace(0, len(ordered) - 1, min(NUM_TILES, len(ordered))).astype(int)]
    return [
        Tile(
            picture_uri(Image.open(io.BytesIO(sample.image)).convert("RGBA")),
            sample.caption,
            f"{sample.truth}, score {scores[sample.key]['clip_score']:.2f}",
            reasons.get(sample.key, ""),
        )
        for sample in chosen
    ]


def packing_row(stage: str, directory: Path) -> PackingRow:
    """Return the packing of one stage, and the fill if each batch of documents were padded to its longest."""
    reader = PackedReader(directory)
    lengths = document_lengths(reader)
    batches = [lengths[start : start + PADDED_BATCH] for start in range(0, len(lengths), PADDED_BATCH)]
    padded = sum(len(batch) * max(batch) for batch in batches)
    return PackingRow(
        stage=stage,
        visual_tokens=reader.details.visual_tokens_per_image,
        documents=reader.details.num_documents,
        tokens=reader.details.num_tokens,
        capacity=reader.details.bin_capacity,
        packs=len(reader),
        lower_bound=reader.details.lower_bound,
        padded_fill=sum(lengths) / padded,
    )


def document_lengths(reader: PackedReader) -> list[int]:
    """Return every document's expanded length in tokens, in the order of the source's keys."""
    by_key: dict[str, int] = {}
    for pack in reader:
        by_key.update(zip(pack.record.document_keys, lengths_in(pack), strict=True))
    return [by_key[key] for key in sorted(by_key)]


def lengths_in(pack: Pack) -> list[int]:
    """Return the expanded lengths of a pack's documents, in tokens."""
    return np.diff(pack.record.expand().cu_seqlens).tolist()


def packing_chart(directory: Path, num_packs: int = 10) -> str:
    """Draw the first packs next to one padded batch."""
    reader = PackedReader(directory)
    packs = [lengths_in(pack) for pack in reader[:num_packs]]
    return packing_bars(packs, document_lengths(reader)[:PADDED_BATCH], reader.details.bin_capacity)


def curve(stage: str, title: str) -> str:
    """Draw the loss curve of the run in directory `stage`."""
    rows = read_metrics(Path(stage) / "metrics.jsonl")
    finite = [(row.step, row.loss) for row in rows if row.loss is not None]
    return loss_curve(title, [step for step, _ in finite], [loss for _, loss in finite])


def training_row(run: Run, stage: str, title: str) -> TrainingRow:
    """Return the figures of the run in directory `stage`."""
    rows = read_metrics(Path(stage) / "metrics.jsonl")
    report = run.reports[stage]
    losses = [row.loss for row in rows if row.loss is not None]
    tail = losses[-max(1, len(losses) // 20) :]
    return TrainingRow(
        stage=title,
        steps=report.num_steps,
        global_batch_size=run.configs[stage].global_batch_size,
        targets=report.num_targets,
        first_loss=losses[0],
        last_loss=sum(tail) / len(tail),
        tokens_per_second=f"{report.num_tokens / report.seconds:,.0f}",
        seconds=f"{report.seconds:.0f}",
    )


def score_row(title: str, report: ScoreReport, categories: Sequence[str]) -> ScoreRow:
    """Return one run's row of the table. The interval resamples concepts, not items."""
    interval = report.clusters.bootstrap if report.clusters else report.overall.wilson
    return ScoreRow(
        run=title,
        items=report.overall.num_items,
        accuracy=report.overall.accuracy,
        low=interval.low,
        high=interval.high,
        by_category=[report.categories[category].accuracy for category in categories],
    )


def compare_stages(report: CompareReport) -> str:
    """Return sentences about what fine-tuning changed."""
    counts = (
        f"Only the pre-trained model is right on {report.only_a} items, and only the fine-tuned one on {report.only_b}"
    )
    verdicts = (
        "Fine-tuning helped.",
        "Fine-tuning did harm.",
        "This does not show that fine-tuning changes the score.",
    )
    return comparison("Pre-trained to fine-tuned", report, counts, verdicts)


def compare_pictures(report: CompareReport) -> str:
    """Return sentences about whether the fine-tuned model looks at the pictures."""
    counts = (
        f"On {report.only_a} items the fine-tuned model is right only with the shuffled picture, "
        f"on {report.only_b} only with the right picture"
    )
    verdicts = (
        "So the model looks at the picture.",
        "So the right picture misleads the model.",
        "This does not show that the model looks at the picture.",
    )
    return comparison("Shuffled pictures to the right ones", report, counts, verdicts)


def comparison(title: str, report: CompareReport, counts: str, verdicts: tuple[str, str, str]) -> str:
    """Return a paired comparison as sentences.

    Args:
        title: What is compared.
        report: The comparison.
        counts: Where only one of the two is right, in words.
        verdicts: The conclusions from a gain, from a loss, and from neither.
    """
    interval, mcnemar = report.bootstrap, report.mcnemar
    assert mcnemar is not None, "likelihoods give no partial credit"
    is_shown = mcnemar.exact_p < SIGNIFICANCE and (interval.low > 0 or interval.high < 0)
    verdict = verdicts[report.difference < 0] if is_shown else verdicts[2]
    return (
        f"{title}: {100 * report.accuracy_a:.1f}% to {100 * report.accuracy_b:.1f}%. {counts}; exact McNemar "
        f"p = {mcnemar.exact_p:.2g}; {100 * report.confidence:g}% interval of the difference by concept "
        f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f} points. {verdict}"
    )


def sample_items(run: Run, held_out: Sequence[emoji_pool.Concept], seed: int) -> list[SampleItem]:
    """Return a few items with every run's answer. They are drawn by a seed, not by outcome."""
    runs = {
        name: list(read_predictions(open_dataset(Path("predictions") / name, Kind.PREDICTIONS))) for name in RUN_TITLES
    }
    rows = sorted(random.Random(seed).sample(range(len(runs["sft"])), NUM_SAMPLES))
    shuffled = run.configs["eval-sft-shuffled"]
    pictures = Pictures(Benchmark.open(shuffled.benchmark), shuffled.images, shuffled.image_seed)
    return [
        sample_item(
            held_out,
            {name: predictions[row] for name, predictions in runs.items()},
            {"sft-shuffled": picture_uri(pictures.of_item(row)[0][0])},
        )
        for row in rows
    ]


def sample_item(
    held_out: Sequence[emoji_pool.Concept], predictions: dict[str, Prediction], shown: Mapping[str, str]
) -> SampleItem:
    """Return one item with the answers of all runs. `shown` has the pictures of runs that saw another one."""
    item = predictions["sft"].item
    concept = held_out[int(item.cluster_id)]
    answers = []
    for name, prediction in predictions.items():
        verdict = judge(prediction, "pmi")
        letter = verdict.reading.answer
        text = item.choices["ABCD".index(letter)] if letter in item.letters else "(no answer read)"
        if prediction.output is not None:
            text = f"“{prediction.output}”: {text}"
        answers.append(Answer(RUN_TITLES[name], text, verdict.is_correct, shown.get(name, "")))
    return SampleItem(
        picture=picture_uri(Image.open(io.BytesIO(concept.picture)).convert("RGBA")),
        question=" / ".join(item.choices),
        answer=concept.name,
        answers=answers,
    )


def lineage_text(directory: Path) -> str:
    """Return the history of the dataset in `directory` as a tree."""
    return lineage_tree(open_dataset(directory).manifest)


def model_text() -> str:
    """Return a sentence about the model's sizes."""
    from oqvl_model.config import ShowConfig
    from oqvl_model.run import show

    report = show(ShowConfig(checkpoint=Path("sft/model")))
    parts = ", ".join(f"{part.name} {part.num_parameters / 1e6:.2f}M" for part in report.parts)
    return f"Parameters: {parts}. The vision tower is a pretrained EfficientNet-Lite0 (ImageNet) and stays frozen."


def cpu_name() -> str:
    """Return the processor's name if the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def versions_text() -> str:
    """Return the versions that the report was made with, and the date."""
    names = (
        "oqvl-shards",
        "oqvl-filter",
        "oqvl-pack",
        "oqvl-model",
        "oqvl-train",
        "oqvl-eval",
        "torch",
        "transformers",
    )
    listed = ", ".join(f"{name} {version(name)}" for name in (*names, "open-clip-torch"))
    return f"Python {platform.python_version()}, {listed}; {date.today().isoformat()}."
