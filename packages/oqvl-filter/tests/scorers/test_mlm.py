from __future__ import annotations

from collections.abc import Sequence

import pytest
from PIL import Image

from oqvl_filter import run
from oqvl_filter.config import MlmScorerConfig, ScoreConfig
from oqvl_filter.pool import pool_samples
from oqvl_filter.score_file import read_table
from oqvl_filter.scorers.judges.judge import Answer, JudgeReason
from oqvl_filter.scorers.mlm import MlmScorer, read_expected, read_text
from oqvl_shards.errors import ConfigError
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits

METRICS = ("itm", "odf", "ctq", "su")


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("85", 85),
        (" 85\nbecause it fits", 85),
        ("85,", 85),
        ("85;", 85),
        ("85.", 85),
        ("85/100", 85),
        ("100", 100),
        ("0", 0),
        ("007", 7),
        ("101", None),
        ("-5", None),
        ("8 5", None),
        ("eighty", None),
        ("Score: 85", None),
        ("85 because", None),
        ("", None),
        ("\n85", 85),
        ("٨٥", None),
    ],
)
def test_the_score_is_the_number_in_the_first_line(text: str, score: float | None):
    assert read_text(Answer(text), 100) == score


def test_a_number_that_may_have_been_cut_short_is_no_score():
    """Two digits of a judge that writes digit by digit may be the beginning of 100."""
    assert read_text(Answer("10", is_whole=False), 100) is None
    assert read_text(Answer("1", is_whole=False), 100) is None
    assert read_text(Answer("10", is_whole=True), 100) == 10
    assert read_text(Answer("10\n", is_whole=False), 100) == 10
    assert read_text(Answer("10,", is_whole=False), 100) == 10
    assert read_text(Answer("85", is_whole=False), 100) == 85
    assert read_text(Answer("0", is_whole=False), 100) == 0
    assert read_text(Answer("7", is_whole=False), 9) == 7


def test_the_expected_score_weighs_what_could_have_come():
    answer = Answer("80", first_tokens={"80": 0.5, "100": 0.25, "The": 0.25, "300": 0.9})
    assert read_expected(answer, 100) == pytest.approx((80 * 0.5 + 100 * 0.25) / 0.75)
    assert read_expected(Answer("8", first_tokens={"8": 0.5, "2": 0.5}), 9) == 5


def test_digit_by_digit_has_no_expected_score_above_nine():
    assert read_expected(Answer("85", first_tokens={"8": 0.9, "1": 0.1}), 100) is None
    assert read_expected(Answer("85"), 100) is None
    assert read_expected(Answer("words", first_tokens={"words": 1.0}), 9) is None


class Echo:
    """A judge that scores by the length of the caption, and remembers how it was asked."""

    def __init__(self, refuse: str = "", mute: Sequence[str] = ()) -> None:
        self.calls: list[tuple[int, int, int]] = []
        self.images: list[Image.Image] = []
        self.refuse, self.mute = refuse, mute

    def fingerprint(self) -> str:
        return "f" * 64

    def answer(
        self, images: Sequence[Image.Image], prompts: Sequence[Sequence[str]], max_new_tokens: int
    ) -> list[list[Answer]]:
        self.calls.append((len(images), len(prompts[0]), max_new_tokens))
        self.images.extend(images)
        return [[self._answer(prompt) for prompt in row] for row in prompts]

    def _answer(self, prompt: str) -> Answer:
        caption = prompt.partition("<caption>")[2].partition("</caption>")[0]
        if self.refuse and self.refuse in caption:
            return Answer("", refusal=JudgeReason.REFUSED)
        return Answer("no idea" if any(word in prompt for word in self.mute) else f"{len(caption)}\nfor reasons")


def make_echo() -> Echo:
    return Echo()


@pytest.fixture
def reader(make_pool, pair, picture, plain_pairs):
    bad = [pair("x0", None, "no image"), pair("x1", picture(), " "), pair("x2", picture()[:50], "broken")]
    with ShardReader(make_pool([[*plain_pairs(3), *bad, *plain_pairs(2, start=10)]]).path / "00000.tar") as reader:
        yield reader


def test_all_metrics_come_from_one_question_round_and_one_decoding(reader: ShardReader):
    echo = Echo()
    scorer = MlmScorer(MlmScorerConfig(name="mlm", batch_size=2), ReadLimits(), echo)
    results = scorer.score_shard(reader, pool_samples(reader, "pool"))
    reasons = [str(result) for result in results if isinstance(result, str)]
    assert reasons == ["no_image", "empty_text", "image_broken"]
    rows = [result for result in results if not isinstance(result, str)]
    assert [row["su"] for row in rows] == [len("caption 0")] * 3 + [len("caption 10")] * 2
    assert rows[0]["itm_answer"] == "9\nfor reasons"
    assert echo.calls == [(2, 4, 6), (2, 4, 6), (1, 4, 6)]
    assert len(echo.images) == 5


def test_answers_without_a_score_are_counted_and_shown(reader: ShardReader, caplog):
    samples = pool_samples(reader, "pool")
    deaf = MlmScorer(MlmScorerConfig(name="mlm"), ReadLimits(), Echo(mute=["grammar"]))
    row = deaf.score_shard(reader, samples)[0]
    assert not isinstance(row, str)
    assert (row["ctq"], row["ctq_answer"], row["num_unreadable"]) == (None, "no idea", 1)
    mute = MlmScorer(MlmScorerConfig(name="mlm"), ReadLimits(), Echo(mute=["caption"]))
    assert not caplog.messages
    assert mute.score_shard(reader, samples)[0] == JudgeReason.UNREADABLE_ANSWER
    assert caplog.messages == ["00000.tar: no answer about 5 samples holds a score, e.g. 'no idea'"]
    refused = MlmScorer(MlmScorerConfig(name="mlm"), ReadLimits(), Echo(refuse="caption 1"))
    assert refused.score_shard(reader, samples)[1] == JudgeReason.REFUSED


def test_the_fingerprint_is_of_what_decides_the_scores():
    def fingerprint(**changes) -> str:
        return MlmScorer(MlmScorerConfig(name="mlm", **changes), ReadLimits(), Echo()).fingerprint()

    assert fingerprint() == fingerprint(batch_size=3)
    changed = [fingerprint(**c) for c in ({"prompts": "digit"}, {"metrics": ("su",)}, {"reading": "expected"})]
    assert len({fingerprint(), *changed}) == 4


def test_a_metric_that_the_prompts_lack_is_named():
    with pytest.raises(ConfigError, match="magic"):
        MlmScorer(MlmScorerConfig(name="mlm", metrics=("magic",)), ReadLimits(), Echo())


def test_a_judge_is_bound_by_its_path_from_the_command(make_pool, plain_pairs, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "own_judge", sys.modules[__name__])
    scorer = MlmScorerConfig(name="mlm", judge="own_judge:make_echo", metrics=("su", "itm"))
    report = run.score(ScoreConfig(pool=make_pool([plain_pairs(3)]).path, output=tmp_path / "mlm", scorer=scorer))
    assert report.account.num_kept == 3
    table = read_table(tmp_path / "mlm" / "00000.parquet")
    assert table.column_names[3:-1] == ["su", "itm", "su_answer", "itm_answer", "num_unreadable"]
    assert table["su"].to_pylist() == [9, 9, 9]
