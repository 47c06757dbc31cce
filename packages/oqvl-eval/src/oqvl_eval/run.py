"""The commands, each as a list of steps: evaluate, score, compare, import and show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from oqvl_eval.aggregate import Accuracy, by_category, by_cluster, chance_level, reading_counts, yes_no
from oqvl_eval.asking import Asker
from oqvl_eval.benchmark import Benchmark, write_benchmark
from oqvl_eval.comparison import difference_interval, discordance, paired
from oqvl_eval.config import (
    NORMALISATIONS,
    CompareConfig,
    EvalConfig,
    ImportConfig,
    Normalisation,
    Profile,
    ScoreConfig,
    ShowConfig,
)
from oqvl_eval.importers.jsonl import ImageFolder, read_jsonl
from oqvl_eval.importers.published import read_published
from oqvl_eval.item import ImageRef, Item
from oqvl_eval.mcnemar import mcnemar
from oqvl_eval.predictions import PREDICTIONS_SCHEMA, Prediction, is_finished_chunk, read_predictions, write_chunk
from oqvl_eval.reading.reasoning import split_reasoning
from oqvl_eval.report import CompareReport, EvalReport, ImportReport, ScoreReport, ShownItem, ShowReport
from oqvl_eval.scoring import has_blank, judge
from oqvl_shards.atomic import atomic_write
from oqvl_shards.dataset import Dataset, describe_file, open_dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import Account, FieldSpec, Kind, PredictionsDetails
from oqvl_shards.stage_output import StageOutput, stage_output


def evaluate(config: EvalConfig) -> EvalReport:
    """Ask a model every item of a benchmark, and store its raw answers as a dataset of kind `predictions`.

    1. Open the benchmark and the checkpoint.
    2. Claim the output directory. If an earlier run has finished it, return its report.
    3. Divide the items into chunks, and ask the model for each chunk that an earlier, killed run has not finished.
    4. Write the manifest.

    Raises:
        ManifestError: If an input is not a dataset of the expected kind.
        ConfigError: If the configuration does not fit the benchmark or the model, another run is writing the output,
            or the output directory holds something else.
        DataError: If a picture cannot be decoded, or the answerer returns something that is not an answer.
    """
    benchmark = Benchmark.open(config.benchmark)
    checkpoint = open_dataset(config.checkpoint, Kind.CHECKPOINT)
    _check_mode(config, benchmark)
    parents = [benchmark.dataset.manifest, checkpoint.manifest]
    with stage_output("oqvl-eval run", config.output, config, parents=parents) as output:
        if output.dataset is None:
            num_reused = _answer_chunks(config, benchmark, output)
            _finish(config, benchmark, checkpoint, output)
        else:
            num_reused = output.dataset.manifest.num_samples
    dataset = output.finished()
    return EvalReport(
        task=benchmark.task,
        model=checkpoint.manifest.name,
        mode=config.mode,
        images=config.images,
        num_items=dataset.manifest.num_samples,
        num_reused=num_reused,
        predictions=str(config.output),
        digest=dataset.manifest.digest(),
    )


def score(config: ScoreConfig) -> ScoreReport:
    """Judge the predictions of one run.

    The report is also written to `scores/{profile}.json` in the predictions' directory, or to
    `scores/{profile}-{normalisation}.json` for likelihoods. The file is not part of the dataset, so the manifest and
    its digest do not change. It depends on the predictions and the configuration alone, and the next scoring with the
    same profile and normalisation overwrites it.

    Raises:
        ManifestError: If `config.predictions` is not a dataset of kind `predictions`.
        DataError: If its files are damaged.
    """
    dataset = open_dataset(config.predictions, Kind.PREDICTIONS)
    details = _details(dataset)
    predictions = list(read_predictions(dataset))
    verdicts = [judge(prediction, config.normalisation) for prediction in predictions]
    is_likelihood = details.mode == "likelihood"
    report = ScoreReport(
        task=details.task,
        model=details.model,
        mode=details.mode,
        images=_image_condition(dataset),
        profile=config.profile,
        normalisation=config.normalisation if is_likelihood else None,
        predictions_digest=dataset.manifest.digest(),
        confidence=config.confidence,
        overall=Accuracy.of((verdict.is_correct for verdict in verdicts), config.confidence),
        chance=chance_level(verdicts),
        clusters=by_cluster(verdicts, config),
        categories=by_category(verdicts, config.confidence),
        yes_no=yes_no(verdicts),
        by_normalisation=_by_normalisation(predictions) if is_likelihood else {},
        reading_counts=reading_counts(verdicts),
    )
    path = _score_file(dataset, config.profile, config.normalisation if is_likelihood else None)
    atomic_write(path, (report.model_dump_json(indent=2) + "\n").encode())
    return report


def compare(config: CompareConfig) -> CompareReport:
    """Compare two runs on the same items, item by item.

    Raises:
        ManifestError: If an input is not a dataset of kind `predictions`.
        DataError: If the two runs did not answer the same items.
    """
    dataset_a, dataset_b = (open_dataset(path, Kind.PREDICTIONS) for path in (config.a, config.b))
    pairs = paired(list(read_predictions(dataset_a)), list(read_predictions(dataset_b)))
    verdicts = [(judge(a, config.normalisation), judge(b, config.normalisation)) for a, b in pairs]
    counts = discordance(verdicts)
    num_items = len(pairs)
    accuracy_a = (counts.both_correct + counts.only_a) / num_items
    accuracy_b = (counts.both_correct + counts.only_b) / num_items
    return CompareReport(
        task=_details(dataset_a).task,
        model_a=_details(dataset_a).model,
        model_b=_details(dataset_b).model,
        images_a=_image_condition(dataset_a),
        images_b=_image_condition(dataset_b),
        num_items=num_items,
        num_clusters=len({a.item.cluster_id for a, _ in pairs}),
        both_correct=counts.both_correct,
        only_a=counts.only_a,
        only_b=counts.only_b,
        both_wrong=counts.both_wrong,
        accuracy_a=accuracy_a,
        accuracy_b=accuracy_b,
        difference=(counts.only_b - counts.only_a) / num_items,
        confidence=config.confidence,
        bootstrap=difference_interval(verdicts, config),
        mcnemar=mcnemar(counts.only_a, counts.only_b),
        num_prompts_differing=sum(a.prompt_sha256 != b.prompt_sha256 for a, b in pairs),
    )


def import_benchmark(config: ImportConfig) -> ImportReport:
    """Make a benchmark dataset from local files; see `oqvl_eval.importers`.

    Raises:
        DataError: If a row is not an item, or a picture is missing or unreadable.
        ConfigError: If the output directory holds something else, or another run is writing it.
    """
    if config.format == "jsonl":
        folder = config.images if config.images is not None else config.source.parent
        items, images = list(read_jsonl(config.source)), ImageFolder(folder)
    else:
        items, images = read_published(config.format, config.source)
    task = config.task or (config.source.stem if config.format == "jsonl" else config.format)
    dataset = write_benchmark(config.output, task, items, images, tool=f"oqvl-eval import {config.format}")
    statistics = dataset.manifest.statistics
    return ImportReport(
        task=task,
        num_items=dataset.manifest.num_samples,
        num_clusters=int(statistics["num_clusters"]),
        num_images=int(statistics["num_images"]),
        benchmark=str(config.output),
        digest=dataset.manifest.digest(),
    )


def show(config: ShowConfig) -> ShowReport:
    """Return items of a benchmark, or the judged answers of a run.

    Raises:
        ManifestError: If the dataset is neither a benchmark nor predictions.
        ConfigError: If no item matches, or `only` is set for a benchmark, which has no answers.
    """
    dataset = open_dataset(config.dataset, Kind.BENCHMARK, Kind.PREDICTIONS)
    is_benchmark = dataset.manifest.kind == Kind.BENCHMARK
    if is_benchmark and config.only is not None:
        raise ConfigError(
            f"only={config.only} selects answers, but {config.dataset} is a benchmark",
            hint="leave only unset, or show a predictions dataset",
        )
    normalisation = None if is_benchmark else _shown_normalisation(dataset, config)
    shown = _shown_items(dataset) if is_benchmark else _shown_answers(dataset, config, normalisation)
    matching = [item for item in shown if config.item in (None, item.item_id)]
    if not matching:
        raise ConfigError(
            f"no item of {config.dataset} matches item={config.item} only={config.only}",
            hint="show the dataset without item and only to see what it has",
        )
    return ShowReport(
        dataset=str(config.dataset),
        normalisation=normalisation,
        num_matching=len(matching),
        items=matching[: config.limit],
    )


def _check_mode(config: EvalConfig, benchmark: Benchmark) -> None:
    open_questions = [item.item_id for item in benchmark.items[: config.limit] if not item.choices]
    if config.mode == "likelihood" and open_questions:
        raise ConfigError(
            f"mode=likelihood needs options, but {len(open_questions)} items of {benchmark.task} have none "
            f"(the first is {open_questions[0]!r})",
            hint="use mode=generate",
        )


def _chunk_path(directory: Path, number: int) -> Path:
    return directory / f"predictions-{number:05d}.parquet"


def _chunks(config: EvalConfig, benchmark: Benchmark) -> Iterator[tuple[Path, range]]:
    """Yield the file of each chunk and the rows of its items."""
    num_items = len(benchmark.items[: config.limit])
    for number, start in enumerate(range(0, num_items, config.items_per_chunk)):
        yield _chunk_path(config.output, number), range(start, min(start + config.items_per_chunk, num_items))


def _answer_chunks(config: EvalConfig, benchmark: Benchmark, output: StageOutput) -> int:
    """Write every chunk that does not exist yet; return the number of items that earlier runs answered."""
    chunks = list(_chunks(config, benchmark))
    todo = [
        (path, rows)
        for path, rows in chunks
        if not is_finished_chunk(path, [benchmark.items[row] for row in rows], output.step)
    ]
    num_items, num_todo = (sum(len(rows) for _, rows in some) for some in (chunks, todo))
    if todo:
        asker = Asker.bind(config, benchmark)
        with asker.progress(num_items, num_todo) as progress:
            for path, rows in todo:
                write_chunk(path, asker.ask(rows, progress), output.step)
    return num_items - num_todo


def _finish(config: EvalConfig, benchmark: Benchmark, checkpoint: Dataset, output: StageOutput) -> None:
    """Write the manifest over the chunks. Items beyond `limit` are accounted for as rejected."""
    shards = [describe_file(path, config.output, len(rows)) for path, rows in _chunks(config, benchmark)]
    num_answered = sum(shard.num_samples for shard in shards)
    num_left_out = len(benchmark.items) - num_answered
    output.finish(
        name=f"{benchmark.task}-{checkpoint.manifest.name}",
        details=PredictionsDetails(task=benchmark.task, model=checkpoint.manifest.name, mode=config.mode),
        shards=shards,
        fields=[FieldSpec(name=column.name, dtype=str(column.type)) for column in PREDICTIONS_SCHEMA],
        account=Account(
            num_in=len(benchmark.items),
            num_kept=num_answered,
            rejected={"over_limit": num_left_out} if num_left_out else {},
        ),
    )


def _details(dataset: Dataset) -> PredictionsDetails:
    assert isinstance(dataset.manifest.details, PredictionsDetails)
    return dataset.manifest.details


def _image_condition(dataset: Dataset) -> str:
    return str(dataset.manifest.lineage.config.get("images", "given"))


def _by_normalisation(predictions: list[Prediction]) -> dict[str, float]:
    return {
        normalisation: sum(judge(prediction, normalisation).is_correct for prediction in predictions) / len(predictions)
        for normalisation in NORMALISATIONS
        if normalisation != "pmi" or has_blank(predictions)
    }


def _shown_items(dataset: Dataset) -> Iterator[ShownItem]:
    for item in Benchmark(dataset).items:
        question = "".join(
            f"<{segment.name}>" if isinstance(segment, ImageRef) else segment for segment in item.segments
        )
        yield _shown(item, question)


def _score_file(dataset: Dataset, profile: Profile, normalisation: Normalisation | None) -> Path:
    name = f"{profile}-{normalisation}" if normalisation else profile
    return dataset.path / "scores" / f"{name}.json"


def _shown_normalisation(dataset: Dataset, config: ShowConfig) -> Normalisation | None:
    """Return the configured normalisation; else that of the only stored score; else `sum`. None in generate mode."""
    if _details(dataset).mode != "likelihood":
        return None
    if config.normalisation is not None:
        return config.normalisation
    scored = [
        normalisation for normalisation in NORMALISATIONS if _score_file(dataset, "strict", normalisation).exists()
    ]
    return scored[0] if len(scored) == 1 else "sum"


def _shown_answers(dataset: Dataset, config: ShowConfig, normalisation: Normalisation | None) -> Iterator[ShownItem]:
    """Yield the judged answers that `config.only` selects."""
    for prediction in read_predictions(dataset):
        verdict = judge(prediction, normalisation or "sum")
        reading = verdict.reading
        transcript = split_reasoning(prediction.output or "")
        traits = {reading.status, "right" if verdict.is_correct else "wrong"}
        if config.only is None or config.only in traits:
            yield _shown(verdict.item, None).model_copy(
                update={
                    "output": None if prediction.output is None else transcript.answer,
                    "reasoning": transcript.reasoning or None,
                    "likelihoods": {candidate.text: candidate.logprob for candidate in prediction.candidates},
                    "read": reading.answer,
                    "status": reading.status,
                    "by": reading.rule,
                    "is_correct": verdict.is_correct,
                }
            )


def _shown(item: Item, question: str | None) -> ShownItem:
    return ShownItem(
        item_id=item.item_id,
        category=item.category,
        question=question,
        choices=list(item.choices),
        answer=item.answer,
    )
