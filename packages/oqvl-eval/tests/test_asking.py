from __future__ import annotations

from pathlib import Path

import pytest

from oqvl_eval import Benchmark
from oqvl_eval.asking import Asker


class Recorder:
    """Records what it is asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, bool, int | None]] = []
        self.texts: list[str] = []

    def generate(self, prompts, *, chat, max_new_tokens):
        self.calls.append((len(prompts), chat, max_new_tokens))
        self.texts += ["".join(piece for piece in prompt if isinstance(piece, str)) for prompt in prompts]
        return ["A"] * len(prompts)

    def choice_logprobs(self, prompts, choices, *, chat):
        self.calls.append((len(prompts), chat, None))
        return [[(-float(index + 1), 1) for index in range(len(texts))] for texts in choices]


@pytest.fixture
def ask(evaluation):
    def run(rows, **fields):
        config, recorder = evaluation(**fields), Recorder()
        asker = Asker(config, Benchmark.open(Path(config.benchmark)), recorder)
        with asker.progress(20, len(rows)) as progress:
            return asker.ask(rows, progress), recorder

    return run


def test_an_answerer_gets_a_few_items_at_once(ask):
    predictions, recorder = ask(range(3, 10), items_per_call=3, chat=True, max_new_tokens=5)
    assert recorder.calls == [(3, True, 5), (3, True, 5), (1, True, 5)]
    assert [prediction.item.item_id for prediction in predictions] == [f"q{index:02d}" for index in range(3, 10)]


def test_options_are_listed_where_letters_are_asked_for(ask):
    assert "A. red" in ask([0])[1].texts[0]


def test_candidates_stand_for_their_options(ask):
    [letters] = ask([0], mode="likelihood")[0]
    assert [(one.choice, one.text, one.logprob) for one in letters.candidates[:3]] == [
        (0, " A", -1.0),
        (0, "A", -2.0),
        (1, " B", -3.0),
    ]
    [texts] = ask([0], mode="likelihood", choices_as="text")[0]
    assert [one.text for one in texts.candidates] == [" red", " green", " blue", " white"]
    assert letters.prompt_sha256 != texts.prompt_sha256
