"""Known answers through the whole path: stored outputs are scored, shown and compared under every profile."""

from __future__ import annotations

import json

import pytest

from oqvl_eval import CompareConfig, Item, ScoreConfig, compare, evaluate, score
from oqvl_eval.config import ShowConfig
from oqvl_eval.run import show
from oqvl_shards.errors import ConfigError

PROFILES = ("strict", "official", "lmms", "vlmevalkit", "lm_eval", "paper")
PETS = ("a cat", "a dog", "a horse", "a pig")

MMMU = (
    [
        Item("q1", "q1", ("?",), PETS, "B", "Art"),
        Item("q2", "q2", ("?",), PETS, "A", "Art"),
        Item("q3", "q3", ("?",), (), "12", "Design"),
    ],
    ["B", "I cannot tell", "The answer is 12"],
)
"""A letter, an answer that some harnesses replace by a draw from four, and an open answer that lmms-eval loses."""

MMBENCH = (
    [
        Item("1", "1", ("?",), PETS[:2], "A"),
        Item("1000001", "1", ("?",), PETS[1::-1], "B"),
        Item("2", "2", ("?",), PETS[:2], "B"),
        Item("1000002", "2", ("?",), PETS[1::-1], "A"),
    ],
    ["A", "B", "Both look fine", "A"],
)
"""Two questions in two rotations. One answer is not read, or by a judge, or holds the letter b, or is drawn."""

POPE = (
    [
        Item("1", "1", ("?",), ("yes", "no"), "yes", "random", "yes_no"),
        Item("2", "2", ("?",), ("yes", "no"), "no", "random", "yes_no"),
        Item("3", "3", ("?",), ("yes", "no"), "no", "popular", "yes_no"),
        Item("4", "4", ("?",), ("yes", "no"), "yes", "popular", "yes_no"),
    ],
    ["Yes.", "No", "yes", "Well"],
)
"""A full stop that lmms-eval does not allow, and an answer that the official script takes for yes."""

TEXTVQA = [
    Item(f"{number}", f"{number}", ("?",), (), "red", metadata={"human_answers": ["red", "red", *["blue"] * 8]})
    for number in range(3)
]


@pytest.mark.parametrize(
    ("task", "answers", "expected"),
    [
        (
            "mmmu",
            MMMU,
            {
                "strict": ("accuracy", 2 / 3, 2 / 3),
                "official": ("Overall", 0.75, 0.75),
                "lmms": ("Overall", 0.41667, 1.25 / 3),
                "vlmevalkit": ("accuracy", 2 / 3, 2 / 3),
                "lm_eval": ("accuracy", 0.75, 0.75),
                "paper": ("accuracy", 0.75, 0.75),
            },
        ),
        (
            "mmbench",
            MMBENCH,
            {
                "strict": ("circular", 0.5, 0.75),
                "official": ("circular", 0.5, 0.75),
                "lmms": ("circular", 0.5, 0.75),
                "vlmevalkit": ("circular", 0.5, 0.75),
                "lm_eval": ("accuracy", 0.875, 0.875),
                "paper": ("accuracy", 1.0, 1.0),
            },
        ),
        (
            "pope",
            POPE,
            {
                "strict": ("f1", 0.5, 0.5),
                "official": ("f1", 5 / 6, 0.75),
                "lmms": ("f1", 0.0, 0.25),
                "vlmevalkit": ("Overall f1", 0.5, 0.5),
                "paper": ("f1", 0.5, 0.5),
            },
        ),
    ],
)
def test_known_answers(answered, task, answers, expected):
    predictions = answered(task, *answers)
    report = score(ScoreConfig(predictions=predictions, profiles=tuple(expected)))
    assert report.profiles is not None
    found = {scored.profile: (scored.score_name, scored.score, scored.accuracy) for scored in report.profiles.scores}
    assert found == {name: (figure, pytest.approx(a), pytest.approx(b)) for name, (figure, a, b) in expected.items()}
    accuracies = [accuracy for _, _, accuracy in expected.values()]
    assert report.profiles.spread == pytest.approx(max(accuracies) - min(accuracies))
    assert [scored.profile for scored in report.profiles.scores if scored.is_generic] == (
        ["lm_eval"] if task == "mmbench" else []
    )


def test_items_that_are_judged_differently_are_counted_and_listed(answered):
    predictions = answered("mmmu", *MMMU)
    report = score(ScoreConfig(predictions=predictions, profiles=PROFILES))
    assert report.profiles is not None
    assert report.profiles.num_differing == 2
    listed = show(ShowConfig(dataset=predictions, profiles=PROFILES, only="disagree"))
    assert [item.item_id for item in listed.items] == ["q2", "q3"]
    credits = {profile: verdict.credit for profile, verdict in listed.items[0].verdicts.items()}
    assert credits == {
        "strict": 0.0,
        "official": 0.25,
        "lmms": 0.25,
        "vlmevalkit": 0.0,
        "lm_eval": 0.25,
        "paper": 0.25,
    }
    assert "read        a refusal by refusal: wrong (strict)" in listed.table()
    assert "read        nothing by random_draw: credit 0.250 (official)" in listed.table()
    same = show(ShowConfig(dataset=predictions, profiles=("official", "lm_eval")))
    assert same.num_matching == 3
    with pytest.raises(ConfigError, match=r"no item of .* matches item=None only=disagree"):
        show(ShowConfig(dataset=predictions, profiles=("official", "lm_eval"), only="disagree"))
    with pytest.raises(ConfigError, match="only=disagree compares profiles, but profiles has only strict"):
        show(ShowConfig(dataset=predictions, only="disagree"))


def test_every_profile_has_a_file_and_the_first_is_reported(answered):
    predictions = answered("mmbench", *MMBENCH)
    report = score(ScoreConfig(predictions=predictions, profiles=("lmms", "strict")))
    assert (report.profile, report.source, report.num_needing_judge) == ("lmms", "lmms-eval 75571cf", 1)
    assert report.figures == {"circular": 0.5, "vanilla": 0.75, "judge": 0.5}
    assert any("The letter E is inferred" in note for note in report.notes)
    saved = json.loads((predictions / "scores" / "lmms.json").read_text())
    assert saved == json.loads(report.model_copy(update={"profiles": None}).model_dump_json())
    assert json.loads((predictions / "scores" / "strict.json").read_text())["profile"] == "strict"
    lines = report.table().splitlines()
    assert "score       circular 50.0, vanilla 75.0, judge 50.0" in lines
    assert "judge       1 answers need one and count as wrong" in lines
    assert [line.split()[:4] for line in lines if line.startswith(("lmms ", "strict "))] == [
        ["lmms", "circular", "50.0", "75.0"],
        ["strict", "circular", "50.0", "75.0"],
    ]
    assert "spread of accuracy 0.0 points; 1 of 4 answers are judged differently" in lines


def test_a_task_of_ones_own_is_scored_by_generic_rules(answered):
    predictions = answered("pets", [Item("1", "1", ("?",), PETS, "B")], ["probably"])
    report = score(ScoreConfig(predictions=predictions, profiles=("paper", "strict")))
    assert (report.is_generic, report.accuracy) == (True, 1.0)
    assert "rules of    Open-Qwen2VL 0d76f9f (generic rules: it does not know the task)" in report.table()
    assert report.table().endswith("generic rules, since the task is not known to them: paper")


def test_partial_credits_are_compared_by_bootstrap_alone(answered):
    a = answered("textvqa", TEXTVQA, ["red", "red", "green"], "a")
    b = answered("textvqa", TEXTVQA, ["blue", "red", "blue"], "b")
    report = compare(CompareConfig(a=a, b=b, num_resamples=500))
    partial = (2 * 1 / 3 + 8 * 2 / 3) / 10
    assert (report.accuracy_a, report.accuracy_b) == (pytest.approx(2 * partial / 3), pytest.approx((2 + partial) / 3))
    assert report.difference == pytest.approx(report.accuracy_b - report.accuracy_a)
    assert report.bootstrap.low <= report.difference <= report.bootstrap.high
    assert report.mcnemar is None
    assert (report.both_correct, report.only_a, report.only_b, report.both_wrong) == (0, 0, 2, 1)
    assert "some answers have partial credit" in report.table()
    scored = score(ScoreConfig(predictions=a))
    assert (scored.overall.num_correct, scored.accuracy) == (0, pytest.approx(2 * partial / 3))


def test_whole_credits_are_compared_by_the_profile_that_is_named(answered):
    a = answered("mmbench", MMBENCH[0], ["A", "B", "B", "A"], "a")
    b = answered("mmbench", *MMBENCH, "b")
    strict, paper = (compare(CompareConfig(a=a, b=b, profile=name)) for name in ("strict", "paper"))
    assert (strict.only_a, paper.only_a) == (1, 0)
    assert strict.mcnemar is not None
    assert "scored      paper" in paper.table()


def test_likelihoods_have_few_rules(evaluation):
    evaluate(evaluation(mode="likelihood"))
    with pytest.raises(ConfigError, match="lmms-eval 75571cf has no rule for likelihoods"):
        score(ScoreConfig(predictions=evaluation().output, profiles=("strict", "lmms")))


def test_a_profile_is_named_once(tmp_path):
    with pytest.raises(ConfigError, match="a profile is named twice: lmms, lmms"):
        ScoreConfig.from_values({"predictions": tmp_path, "profiles": ["lmms", "lmms"]})


def test_the_table_shows_a_few_figures_and_json_all(answered):
    report = score(ScoreConfig(predictions=answered("pope", *POPE)))
    [line] = [line for line in report.table().splitlines() if line.startswith("score ")]
    assert line == (
        "score       f1 50.0, accuracy 50.0, precision 50.0, recall 50.0, yes_ratio 50.0, random accuracy 100.0, "
        "9 more with --json"
    )
    assert len(report.figures) == 15
