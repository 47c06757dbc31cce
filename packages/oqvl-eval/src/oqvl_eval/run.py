"""The commands, each as a list of steps: evaluate, score, compare, import and show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from oqvl_eval.aggregate import Accuracy, by_category, by_cluster, chance_level, reading_counts, yes_no
from oqvl_eval.asking import Asker
from oqvl_eval.benchmark import Benchmark, write_benchmark
from oqvl_eval.comparison import difference_interval, disagree, discordance, has_partial_credit, paired
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
from oqvl_eval.report import (
    CompareReport,
    EvalReport,
    ImportReport,
    ProfileSpread,
    ScoreReport,
    ShownItem,
    ShownVerdict,
    ShowReport,
)
from oqvl_eval.scoring import has_blank, judge_all
from oqvl_eval.scoring_rules.figures import mean_credit
from oqvl_eval.scoring_rules.registry import FoundRules, find_rules
from oqvl_eval.scoring_rules.task_rules import Verdict
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
    """Judge the predictions of one run, by one profile or several.

    The score under each profile is also written to `scores/{profile}.json` in the predictions' directory, or to
    `scores/{profile}-{normalisation}.json` for likelihoods. These files are not part of the dataset, so the manifest
    and its digest do not change. They depend on the predictions and the configuration alone, and the next scoring with
    the same profile and normalisation overwrites them.

    Returns:
        The score under the first profile. With several profiles, `profiles` has the scores under all of them.

    Raises:
        ManifestError: If `config.predictions` is not a dataset of kind `predictions`.
        ConfigError: If a profile has no rules for the items or for likelihoods.
        DataError: If its files are damaged.
    """
    dataset = open_dataset(config.predictions, Kind.PREDICTIONS)
    predictions = list(read_predictions(dataset))
    judged = [_judge(dataset, predictions, profile, config.normalisation) for profile in config.profiles]
    reports = [_score_report(config, dataset, predictions, rules, verdicts) for rules, verdicts in judged]
    for report in reports:
        path = _score_file(dataset, report.profile, report.normalisation)
        atomic_write(path, (report.model_dump_json(indent=2) + "\n").encode())
    if len(reports) == 1:
        return reports[0]
    accuracies = [report.accuracy for report in reports]
    spread = ProfileSpread(
        scores=[report.in_short() for report in reports],
        spread=max(accuracies) - min(accuracies),
        num_differing=sum(map(disagree, zip(*(verdicts for _, verdicts in judged), strict=True))),
    )
    return reports[0].model_copy(update={"profiles": spread})


def compare(config: CompareConfig) -> CompareReport:
    """Compare two runs on the same items, item by item.

    Raises:
        ManifestError: If an input is not a dataset of kind `predictions`.
        ConfigError: If the profile has no rules for the items or for likelihoods.
        DataError: If the two runs did not answer the same items.
    """
    dataset_a, dataset_b = (open_dataset(path, Kind.PREDICTIONS) for path in (config.a, config.b))
    pairs = paired(list(read_predictions(dataset_a)), list(read_predictions(dataset_b)))
    runs = ((dataset_a, [a for a, _ in pairs]), (dataset_b, [b for _, b in pairs]))
    verdicts_a, verdicts_b = (
        _judge(dataset, predictions, config.profile, config.normalisation)[1] for dataset, predictions in runs
    )
    verdicts = list(zip(verdicts_a, verdicts_b, strict=True))
    counts = discordance(verdicts)
    accuracy_a, accuracy_b = mean_credit(verdicts_a), mean_credit(verdicts_b)
    is_partial = has_partial_credit(verdicts)
    return CompareReport(
        task=_details(dataset_a).task,
        model_a=_details(dataset_a).model,
        model_b=_details(dataset_b).model,
        images_a=_image_condition(dataset_a),
        images_b=_image_condition(dataset_b),
        profile=config.profile,
        num_items=len(pairs),
        num_clusters=len({a.item.cluster_id for a, _ in pairs}),
        both_correct=counts.both_correct,
        only_a=counts.only_a,
        only_b=counts.only_b,
        both_wrong=counts.both_wrong,
        accuracy_a=accuracy_a,
        accuracy_b=accuracy_b,
        difference=accuracy_b - accuracy_a if is_partial else (counts.only_b - counts.only_a) / len(pairs),
        confidence=config.confidence,
        bootstrap=difference_interval(verdicts, config),
        mcnemar=None if is_partial else mcnemar(counts.only_a, counts.only_b),
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
        ConfigError: If no item matches, `only` is set for a benchmark, which has no answers, or `only` asks where
            profiles disagree and there is a single one.
    """
    dataset = open_dataset(config.dataset, Kind.BENCHMARK, Kind.PREDICTIONS)
    is_benchmark = dataset.manifest.kind == Kind.BENCHMARK
    if is_benchmark and config.only is not None:
        raise ConfigError(
            f"only={config.only} selects answers, but {config.dataset} is a benchmark",
            hint="leave only unset, or show a predictions dataset",
        )
    if config.only == "disagree" and len(config.profiles) < 2:
        raise ConfigError(
            f"only=disagree compares profiles, but profiles has only {config.profiles[0]}",
            hint='name several, e.g. profiles=\'["strict", "lmms"]\'',
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


def _judge(
    dataset: Dataset, predictions: Sequence[Prediction], profile: Profile, normalisation: Normalisation
) -> tuple[FoundRules, list[Verdict]]:
    """Judge the predictions of one run by one profile."""
    item_rules = {prediction.item.scoring_rule for prediction in predictions}
    rules = find_rules(profile, _details(dataset).task, item_rules)
    return rules, judge_all(predictions, rules, normalisation)


def _score_report(
    config: ScoreConfig,
    dataset: Dataset,
    predictions: Sequence[Prediction],
    rules: FoundRules,
    verdicts: Sequence[Verdict],
) -> ScoreReport:
    """Report the verdicts of one run under one profile."""
    details = _details(dataset)
    is_likelihood = details.mode == "likelihood"
    figures = rules.together.aggregate(verdicts)
    return ScoreReport(
        task=details.task,
        model=details.model,
        mode=details.mode,
        images=_image_condition(dataset),
        profile=rules.profile,
        source=rules.source,
        is_generic=rules.is_generic,
        notes=list(rules.together.notes),
        normalisation=config.normalisation if is_likelihood else None,
        predictions_digest=dataset.manifest.digest(),
        confidence=config.confidence,
        score=figures.values[figures.headline],
        score_name=figures.headline,
        figures=dict(figures.values),
        overall=Accuracy.of((verdict.credit for verdict in verdicts), config.confidence),
        chance=chance_level(verdicts),
        clusters=by_cluster(verdicts, config),
        categories=by_category(verdicts, config.confidence),
        yes_no=yes_no(verdicts),
        by_normalisation=_by_normalisation(predictions, rules) if is_likelihood else {},
        num_needing_judge=sum(verdict.needs_judge for verdict in verdicts),
        reading_counts=reading_counts(verdicts),
    )


def _by_normalisation(predictions: Sequence[Prediction], rules: FoundRules) -> dict[str, float]:
    return {
        normalisation: mean_credit(judge_all(predictions, rules, normalisation))
        for normalisation in NORMALISATIONS
        if normalisation != "pmi" or has_blank(predictions)
    }


def _shown_items(dataset: Dataset) -> Iterator[ShownItem]:
    for item in Benchmark(dataset).items:
        question = "".join(
            f"<{segment.name}>" if isinstance(segment, ImageRef) else segment for segment in item.segments
        )
        yield _shown(item, question)


def _score_file(dataset: Dataset, profile: str, normalisation: str | None) -> Path:
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
    predictions = list(read_predictions(dataset))
    judged = {profile: _judge(dataset, predictions, profile, normalisation or "sum")[1] for profile in config.profiles}
    for row, prediction in enumerate(predictions):
        verdicts = {profile: verdicts[row] for profile, verdicts in judged.items()}
        if config.only is None or config.only in _traits(list(verdicts.values())):
            transcript = split_reasoning(prediction.output or "")
            yield _shown(prediction.item, None).model_copy(
                update={
                    "output": None if prediction.output is None else transcript.answer,
                    "reasoning": transcript.reasoning or None,
                    "likelihoods": {candidate.text: candidate.logprob for candidate in prediction.candidates},
                    "verdicts": {profile: _shown_verdict(verdict) for profile, verdict in verdicts.items()},
                }
            )


def _traits(verdicts: Sequence[Verdict]) -> set[str]:
    """Return the values of `only` that select an answer with these verdicts, one per profile."""
    first = verdicts[0]
    traits = {str(first.reading.status), "right" if first.is_correct else "wrong"}
    return traits | {"disagree"} if disagree(verdicts) else traits


def _shown_verdict(verdict: Verdict) -> ShownVerdict:
    reading = verdict.reading
    return ShownVerdict(
        read=reading.answer,
        status=reading.status,
        by=reading.rule,
        credit=verdict.credit,
        needs_judge=verdict.needs_judge,
    )


def _shown(item: Item, question: str | None) -> ShownItem:
    return ShownItem(
        item_id=item.item_id,
        category=item.category,
        question=question,
        choices=list(item.choices),
        answer=item.answer,
    )
