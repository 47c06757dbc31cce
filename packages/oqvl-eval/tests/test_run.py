from __future__ import annotations

import importlib
import json
import math
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from oqvl_eval import CompareConfig, ScoreConfig, compare, evaluate, score, write_benchmark
from oqvl_eval.config import ImportConfig, ShowConfig
from oqvl_eval.predictions import PREDICTIONS_SCHEMA, read_predictions
from oqvl_eval.run import import_benchmark, show
from oqvl_shards.check import check_shards
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import ConfigError, DataError, ManifestError
from oqvl_shards.manifest import Kind, PredictionsDetails


def accuracy(config, **fields):
    evaluate(config)
    return score(ScoreConfig(predictions=config.output, **fields)).accuracy


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.is_file()}


def test_a_model_that_sees_is_right(evaluation):
    report = evaluate(evaluation())
    assert (report.task, report.model, report.num_items, report.num_reused) == ("colours", "seer", 20, 0)
    found = score(ScoreConfig(predictions=evaluation().output))
    assert found.overall.num_correct == 20
    assert found.chance == 0.25
    assert found.reading_counts.by_rule == {"bare": 20}
    assert found.reading_counts.read_letters == found.reading_counts.gold_letters
    assert {name: item.num_items for name, item in found.categories.items()} == {"cold": 10, "warm": 10}
    assert found.clusters is not None
    assert found.clusters.num_clusters == 5
    assert found.predictions_digest == report.digest


def test_a_model_that_is_blind_to_one_colour(evaluation):
    evaluate(evaluation(answerer_options={"blind_to": ["blue"]}))
    found = score(ScoreConfig(predictions=evaluation().output))
    assert found.accuracy == 0.75
    assert found.categories["cold"].accuracy == 0.5
    assert found.clusters is not None
    assert found.clusters.all_correct.num_correct == 0


@pytest.mark.parametrize("choices_as", ["letter", "text"])
@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("normalisation", ["sum", "per_token", "per_byte"])
def test_likelihood(evaluation, choices_as, chat, normalisation):
    config = evaluation(mode="likelihood", choices_as=choices_as, chat=chat)
    assert accuracy(config, normalisation=normalisation) == 1.0


def test_likelihood_reports_every_normalisation(evaluation):
    evaluate(evaluation(mode="likelihood"))
    found = score(ScoreConfig(predictions=evaluation().output, normalisation="per_token"))
    assert found.by_normalisation == {"sum": 1.0, "per_token": 1.0, "per_byte": 1.0}
    assert found.normalisation == "per_token"
    assert (evaluation().output / "scores" / "strict-per_token.json").exists()


def test_blank_pictures_are_a_reference_when_asked_for(evaluation):
    config = evaluation(mode="likelihood", choices_as="text", score_blank=True)
    assert accuracy(config) == 1.0
    found = score(ScoreConfig(predictions=config.output, normalisation="pmi"))
    # Grey looks green to this model: where green is right, the pictures add nothing and the options tie.
    assert found.accuracy == found.by_normalisation["pmi"] == 0.75
    assert found.reading_counts.ambiguous == 5
    with pytest.raises(ValidationError, match="score_blank needs mode=likelihood"):
        evaluation(mode="generate", score_blank=True)


@pytest.mark.parametrize("condition", ["shuffled", "blank"])
def test_without_its_pictures_the_model_falls_to_chance(evaluation, condition):
    assert accuracy(evaluation("given")) == 1.0
    assert accuracy(evaluation(condition, images=condition)) <= 0.45
    report = compare(CompareConfig(a=evaluation("given").output, b=evaluation(condition).output))
    assert (report.images_a, report.images_b) == ("given", condition)
    assert report.num_prompts_differing == 20
    assert report.only_b == 0
    assert report.difference < -0.5


def test_the_predictions_dataset(evaluation, benchmark, checkpoint):
    config = evaluation(items_per_chunk=6, items_per_call=4)
    evaluate(config)
    dataset = open_dataset(config.output, Kind.PREDICTIONS)
    check_shards(dataset)
    assert [shard.num_samples for shard in dataset.manifest.shards] == [6, 6, 6, 2]
    assert dataset.manifest.lineage.parents == (benchmark.manifest.digest(), checkpoint.manifest.digest())
    details = dataset.manifest.details
    assert isinstance(details, PredictionsDetails)
    assert (details.task, details.model, details.mode) == ("colours", "seer", "generate")
    assert pq.read_schema(dataset.path / "predictions-00000.parquet").names == PREDICTIONS_SCHEMA.names
    assert "/" not in json.dumps(dataset.manifest.lineage.config).replace("://", "")


def test_predictions_hold_the_items_they_were_asked(evaluation, items):
    evaluate(evaluation())
    predictions = list(read_predictions(open_dataset(evaluation().output)))
    assert [prediction.item for prediction in predictions] == [replace(item, segments=()) for item in items]
    assert len({prediction.prompt_sha256 for prediction in predictions}) == 20


def test_the_same_evaluation_gives_the_same_bytes_however_it_is_called(evaluation):
    evaluate(evaluation("a"))
    evaluate(evaluation("b"))
    assert files(evaluation("a").output) == files(evaluation("b").output)
    score(ScoreConfig(predictions=evaluation("a").output))
    score(ScoreConfig(predictions=evaluation("b").output))
    assert files(evaluation("a").output / "scores") == files(evaluation("b").output / "scores")


def test_limit_takes_the_first_items_and_accounts_for_the_rest(evaluation):
    config = evaluation(limit=7)
    assert evaluate(config).num_items == 7
    assert open_dataset(config.output).manifest.account.rejected == {"over_limit": 13}


KILLED = """
import sys
sys.path.insert(0, {tests!r})
import colour_answerer
colour_answerer.ColourAnswerer.calls_left = 3
from oqvl_eval import EvalConfig, evaluate
evaluate(EvalConfig.model_validate_json(sys.stdin.read()))
"""


@pytest.mark.parametrize("mode", ["generate", "likelihood"])
def test_a_killed_evaluation_ends_as_if_it_had_not_been(evaluation, mode):
    fields = {"items_per_chunk": 4, "items_per_call": 2, "mode": mode}
    whole, killed = evaluation("whole", **fields), evaluation("killed", **fields)
    evaluate(whole)
    code = KILLED.format(tests=str(Path(__file__).parent))
    process = subprocess.run([sys.executable, "-c", code], input=killed.model_dump_json(), text=True, check=False)
    assert process.returncode == -signal.SIGKILL
    assert sorted(path.name for path in killed.output.iterdir()) == [
        "claim.json",
        "predictions-00000.parquet",
        "unfinished.json",
    ]
    (killed.output / "predictions-00001.parquet.0123abcd.partial").write_bytes(b"half")
    report = evaluate(killed)
    assert report.num_reused == 4
    assert files(killed.output) == files(whole.output)


def test_a_finished_evaluation_is_not_repeated(evaluation, monkeypatch):
    first = evaluate(evaluation())
    monkeypatch.setattr("oqvl_eval.asking.bind", lambda *_, **__: pytest.fail("the model was loaded again"))
    second = evaluate(evaluation())
    assert (second.digest, second.num_reused) == (first.digest, 20)


def test_an_evaluation_of_something_else_overwrites_nothing(evaluation, make_checkpoint):
    evaluate(evaluation())
    before = files(evaluation().output)
    with pytest.raises(ConfigError, match=r"made with other values of chat"):
        evaluate(evaluation(chat=True))
    with pytest.raises(ConfigError, match="already holds"):
        evaluate(evaluation(checkpoint=make_checkpoint("other").path))
    assert files(evaluation().output) == before


def unfinish(directory):
    """Make a finished evaluation look as if it had been killed before it wrote its manifest."""
    manifest = open_dataset(directory).manifest
    (directory / "manifest.json").unlink()
    (directory / "unfinished.json").write_text(manifest.lineage.model_dump_json())


def test_chunks_of_another_evaluation_are_not_taken_over(evaluation):
    evaluate(evaluation(items_per_chunk=5))
    unfinish(evaluation().output)
    with pytest.raises(ConfigError, match=r"unfinished output of .* made with other values of chat"):
        evaluate(evaluation(items_per_chunk=5, chat=True))


def test_a_chunk_of_another_evaluation_is_never_mixed_in(evaluation):
    evaluate(evaluation("greedy", items_per_chunk=5))
    evaluate(evaluation("chat", items_per_chunk=5, chat=True))
    greedy, foreign = (evaluation(name).output / "predictions-00002.parquet" for name in ("greedy", "chat"))
    unfinish(greedy.parent)
    greedy.write_bytes(foreign.read_bytes())
    before = files(greedy.parent)
    with pytest.raises(ConfigError, match=r"predictions-00002.parquet was left by an unfinished evaluation"):
        evaluate(evaluation("greedy", items_per_chunk=5))
    assert files(greedy.parent) == before


def test_an_output_that_another_run_is_writing_is_refused(evaluation, monkeypatch):
    answerer = importlib.import_module("colour_answerer").ColourAnswerer
    generate, refusals = answerer.generate, []

    def generate_while_others_start(self, prompts, **options):
        for others_fields in ({}, {"chat": True}):
            with pytest.raises(ConfigError, match="is being written by oqvl-eval run") as caught:
                evaluate(evaluation(items_per_chunk=5, **others_fields))
            refusals.append(caught.value)
        return generate(self, prompts, **options)

    monkeypatch.setattr(answerer, "generate", generate_while_others_start)
    assert evaluate(evaluation(items_per_chunk=5)).num_reused == 0
    assert len(refusals) == 2 * 4
    monkeypatch.undo()
    assert score(ScoreConfig(predictions=evaluation().output)).accuracy == 1.0
    assert {path.name for path in evaluation().output.iterdir() if path.is_file()} == {
        *(f"predictions-{number:05d}.parquet" for number in range(4)),
        "manifest.json",
    }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"answerer": "colour_answerer.ColourAnswerer"},
            "answerer='colour_answerer.ColourAnswerer' is not a dotted path",
        ),
        ({"answerer": "colour_answerer:HalfAnswerer"}, "makes a HalfAnswerer without choice_logprobs"),
        ({"answerer_options": {"colour": 1}}, r"does not take the options \['colour'\]"),
    ],
)
def test_a_model_that_cannot_be_bound_is_named_and_leaves_the_output_free(evaluation, fields, message):
    with pytest.raises(ConfigError, match=message):
        evaluate(evaluation(**fields))
    assert not evaluation().output.exists()
    assert evaluate(evaluation()).num_items == 20


def test_a_damaged_chunk_is_named(evaluation):
    evaluate(evaluation())
    path = evaluation().output / "predictions-00000.parquet"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"predictions-00000.parquet is not a readable parquet file"):
        score(ScoreConfig(predictions=evaluation().output))
    unfinish(evaluation().output)
    with pytest.raises(DataError, match=r"predictions-00000.parquet is not a readable parquet file"):
        evaluate(evaluation())


def test_likelihood_needs_options(evaluation, tmp_path, items, pictures):
    open_items = [*items[:3], replace(items[3], choices=(), answer="red")]
    dataset = write_benchmark(tmp_path / "open", "open", open_items, pictures)
    with pytest.raises(ConfigError, match="1 items of open have none \\(the first is 'q03'\\)"):
        evaluate(evaluation(benchmark=dataset.path, mode="likelihood"))
    assert evaluate(evaluation(benchmark=dataset.path, mode="likelihood", limit=3)).num_items == 3


def test_an_answerer_that_loses_answers_is_named(evaluation, monkeypatch):
    monkeypatch.setattr("colour_answerer.ColourAnswerer.generate", lambda self, prompts, **_: ["A"])
    with pytest.raises(DataError, match="returned 1 answers to 20 prompts"):
        evaluate(evaluation())


def test_inputs_must_be_of_their_kind(evaluation, checkpoint, benchmark):
    with pytest.raises(ManifestError, match="of kind checkpoint, expected benchmark"):
        evaluate(evaluation(benchmark=checkpoint.path))
    with pytest.raises(ManifestError, match="of kind benchmark, expected predictions"):
        score(ScoreConfig(predictions=benchmark.path))
    with pytest.raises(ManifestError, match="none"):
        score(ScoreConfig(predictions=benchmark.path / "none"))


def test_a_score_is_written_beside_the_dataset(evaluation):
    evaluate(evaluation())
    digest = open_dataset(evaluation().output).manifest.digest()
    report = score(ScoreConfig(predictions=evaluation().output))
    saved = json.loads((evaluation().output / "scores" / "strict.json").read_text())
    assert saved == json.loads(report.model_dump_json())
    check_shards(open_dataset(evaluation().output))
    assert open_dataset(evaluation().output).manifest.digest() == digest


def test_compare_counts_pairs(evaluation):
    evaluate(evaluation("a", answerer_options={"blind_to": ["blue"]}))
    evaluate(evaluation("b", answerer_options={"blind_to": ["green", "white"]}, chat=True))
    report = compare(CompareConfig(a=evaluation("a").output, b=evaluation("b").output))
    assert (report.both_correct, report.only_a, report.only_b, report.both_wrong) == (5, 10, 5, 0)
    assert (report.accuracy_a, report.accuracy_b, report.difference) == (0.75, 0.5, -0.25)
    assert report.bootstrap.low <= report.difference <= report.bootstrap.high
    assert report.mcnemar is not None
    assert report.mcnemar.statistic == 5
    assert report.mcnemar.exact_p == pytest.approx(2 * sum(math.comb(15, k) for k in range(6)) / 2**15)
    assert report.num_prompts_differing == 20
    mirrored = compare(CompareConfig(a=evaluation("b").output, b=evaluation("a").output))
    assert mirrored.mcnemar == report.mcnemar
    assert mirrored.bootstrap.low == pytest.approx(-report.bootstrap.high)


def test_compare_with_itself(evaluation):
    evaluate(evaluation())
    report = compare(CompareConfig(a=evaluation().output, b=evaluation().output))
    assert report.mcnemar is not None
    assert (report.only_a, report.only_b, report.mcnemar.exact_p, report.num_prompts_differing) == (0, 0, 1.0, 0)
    assert (report.bootstrap.low, report.bootstrap.high) == (0.0, 0.0)


def test_compare_needs_the_same_items(evaluation, tmp_path, items, pictures):
    evaluate(evaluation("a"))
    evaluate(evaluation("b", limit=18))
    with pytest.raises(DataError, match=r"2 only in A \['q18', 'q19'\], 0 only in B"):
        compare(CompareConfig(a=evaluation("a").output, b=evaluation("b").output))
    corrected = [replace(items[0], answer="C"), *items[1:]]
    other = write_benchmark(tmp_path / "corrected", "colours", corrected, pictures)
    evaluate(evaluation("c", benchmark=other.path))
    with pytest.raises(
        DataError, match=r"1 items have different options, answers or clusters in B; the first is 'q00'"
    ):
        compare(CompareConfig(a=evaluation("a").output, b=evaluation("c").output))


def test_import_and_show(tmp_path, pictures):
    for name, data in pictures.items():
        (tmp_path / name).write_bytes(data)
    line = {"id": "q", "question": "Which colour?", "images": ["red-0.png"], "choices": ["red", "blue"], "answer": 0}
    (tmp_path / "items.jsonl").write_text(json.dumps(line))
    report = import_benchmark(ImportConfig(source=tmp_path / "items.jsonl", output=tmp_path / "mine", task="mine"))
    assert (report.num_items, report.num_images) == (1, 1)
    assert str(tmp_path) not in (tmp_path / "mine" / "manifest.json").read_text()
    [item] = show(ShowConfig(dataset=tmp_path / "mine")).items
    assert (item.question, item.choices, item.answer) == ("<red-0.png>Which colour?", ["red", "blue"], "A")


def test_show_finds_answers(evaluation, benchmark):
    config = evaluation(answerer_options={"blind_to": ["blue"]})
    evaluate(config)
    wrong = show(ShowConfig(dataset=config.output, only="wrong", limit=2))
    assert (wrong.num_matching, len(wrong.items)) == (5, 2)
    assert wrong.items[0].verdicts["strict"].by == "bare"
    assert show(ShowConfig(dataset=config.output, item="q07")).items[0].output is not None
    with pytest.raises(ConfigError, match=r"no item of .* matches item=zz"):
        show(ShowConfig(dataset=config.output, item="zz"))
    with pytest.raises(ConfigError, match="is a benchmark"):
        show(ShowConfig(dataset=benchmark.path, only="wrong"))


def test_show_judges_as_the_stored_score_does(evaluation):
    config = evaluation(mode="likelihood", choices_as="text", score_blank=True)
    evaluate(config)

    def shown(**fields):
        report = show(ShowConfig(dataset=config.output, limit=20, **fields))
        return report.normalisation, sum(item.verdicts["strict"].credit == 1 for item in report.items)

    def scored(normalisation):
        return normalisation, score(
            ScoreConfig(predictions=config.output, normalisation=normalisation)
        ).overall.num_correct

    assert shown() == ("sum", 20)
    assert scored("pmi") == ("pmi", 15)
    assert shown() == shown(normalisation="pmi") == ("pmi", 15)
    assert scored("sum") == shown() == ("sum", 20)
    assert show(ShowConfig(dataset=config.output)).table().splitlines()[0].endswith("5 shown, judged by sum")


def test_nothing_depends_on_the_working_directory(evaluation, tmp_path, monkeypatch):
    evaluate(evaluation("absolute"))
    monkeypatch.chdir(tmp_path)
    evaluate(evaluation(benchmark="benchmark", checkpoint="seer", output="relative"))
    assert files(tmp_path / "relative") == files(evaluation("absolute").output)


def test_show_splits_the_reasoning_off(evaluation, monkeypatch):
    said = "<think>It is A? No.</think>\nThe answer is B."
    monkeypatch.setattr("colour_answerer.ColourAnswerer.generate", lambda self, prompts, **_: [said] * len(prompts))
    evaluate(evaluation())
    report = show(ShowConfig(dataset=evaluation().output, limit=1))
    [item] = report.items
    assert (item.reasoning, item.output) == ("<think>It is A? No.</think>", "\nThe answer is B.")
    verdict = item.verdicts["strict"]
    assert (verdict.read, verdict.status, verdict.by) == ("B", "read", "answer_is")
    assert "reasoning   '<think>It is A? No.</think>'" in report.table()


@pytest.mark.parametrize(
    ("said", "status", "words", "shown"),
    [
        ("A", "read", "20 read", "read        A by bare"),
        ("Well.", "unread", "20 could not be read", "read        nothing by no_rule"),
        ("A or B", "ambiguous", "20 say several things", "read        several things by several_answers"),
        ("I don't know.", "refused", "20 decline to answer", "read        a refusal by refusal"),
        ("<think>Hmm", "no_answer", "20 have no answer", "read        no answer by"),
    ],
)
def test_every_status_is_counted_shown_and_found(evaluation, monkeypatch, said, status, words, shown):
    monkeypatch.setattr("colour_answerer.ColourAnswerer.generate", lambda self, prompts, **_: [said] * len(prompts))
    evaluate(evaluation())
    report = score(ScoreConfig(predictions=evaluation().output))
    assert getattr(report.reading_counts, status) == 20
    assert words in report.table()
    report = show(ShowConfig(dataset=evaluation().output, only=status, limit=1))
    assert (report.num_matching, report.items[0].verdicts["strict"].status) == (20, status)
    assert shown in report.table()
