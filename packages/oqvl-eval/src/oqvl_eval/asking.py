"""Ask a model: items become prompts, answers become predictions."""

from __future__ import annotations

from collections.abc import Sequence

from tqdm import tqdm

from oqvl_eval.answerer import Answerer, Prompt, bind_answerer
from oqvl_eval.benchmark import Benchmark
from oqvl_eval.config import EvalConfig
from oqvl_eval.controls import Pictures
from oqvl_eval.item import Item
from oqvl_eval.predictions import Candidate, Prediction, checked_candidates, with_blank
from oqvl_eval.prompt import continuations, prompt_sha256, render, resolve_style
from oqvl_shards.errors import DataError


class Asker:
    """A model, a benchmark, and how to put the one to the other.

    Args:
        config: The evaluation.
        benchmark: The benchmark.
        answerer: The model.
    """

    def __init__(self, config: EvalConfig, benchmark: Benchmark, answerer: Answerer) -> None:
        self._config = config
        self._benchmark = benchmark
        self._answerer = answerer
        self._layout = resolve_style(config.prompt, config.chat)
        self._list_choices = config.mode == "generate" or config.choices_as == "letter"
        self._pictures = Pictures(benchmark, config.images, config.image_seed)
        self._blank_pictures = Pictures(benchmark, "blank", config.image_seed) if config.score_blank else None

    @classmethod
    def bind(cls, config: EvalConfig, benchmark: Benchmark) -> Asker:
        """Make the model that `config` names; see `bind_answerer` for the errors."""
        return cls(config, benchmark, bind_answerer(config.answerer, config.checkpoint, config.answerer_options))

    def progress(self, num_items: int, num_todo: int) -> tqdm:
        """Return a progress bar over the items, silent where stderr is no terminal."""
        return tqdm(total=num_items, initial=num_items - num_todo, desc=self._benchmark.task, unit="item", disable=None)

    def ask(self, rows: Sequence[int], progress: tqdm) -> list[Prediction]:
        """Return the predictions for the items at `rows`, `items_per_call` at a time."""
        predictions: list[Prediction] = []
        for start in range(0, len(rows), self._config.items_per_call):
            batch = rows[start : start + self._config.items_per_call]
            predictions += self._ask_once(batch)
            progress.update(len(batch))
        return predictions

    def _ask_once(self, rows: Sequence[int]) -> list[Prediction]:
        prompts, digests = zip(*(self._prompt(row, self._pictures) for row in rows), strict=True)
        if self._config.mode == "generate":
            return self._generate(rows, prompts, digests)
        return self._score_choices(rows, prompts, digests)

    def _prompt(self, row: int, pictures: Pictures) -> tuple[Prompt, str]:
        item = self._benchmark.items[row]
        images, image_digests = pictures.of_item(row)
        prompt = render(item, images, self._layout, list_choices=self._list_choices)
        return prompt, prompt_sha256(prompt, image_digests, self._config.chat)

    def _generate(self, rows: Sequence[int], prompts: Sequence[Prompt], digests: Sequence[str]) -> list[Prediction]:
        outputs = self._answerer.generate(prompts, chat=self._config.chat, max_new_tokens=self._config.max_new_tokens)
        self._check_number(len(outputs), len(prompts))
        items = [self._benchmark.items[row] for row in rows]
        return [Prediction(*values) for values in zip(items, outputs, [()] * len(items), digests, strict=True)]

    def _score_choices(
        self, rows: Sequence[int], prompts: Sequence[Prompt], digests: Sequence[str]
    ) -> list[Prediction]:
        items = [self._benchmark.items[row] for row in rows]
        choices_as, chat = self._config.choices_as, self._config.chat
        scored = [
            continuations(item, prompt, choices_as, chat=chat) for item, prompt in zip(items, prompts, strict=True)
        ]
        candidates = self._candidates(items, prompts, scored)
        if self._blank_pictures is not None:
            blank_prompts = [self._prompt(row, self._blank_pictures)[0] for row in rows]
            blanks = self._candidates(items, blank_prompts, scored)
            candidates = [with_blank(given, blank) for given, blank in zip(candidates, blanks, strict=True)]
        return [Prediction(*values) for values in zip(items, [None] * len(items), candidates, digests, strict=True)]

    def _candidates(
        self, items: Sequence[Item], prompts: Sequence[Prompt], scored: Sequence[Sequence[tuple[int, str]]]
    ) -> list[tuple[Candidate, ...]]:
        texts = [[text for _, text in pairs] for pairs in scored]
        logprobs = self._answerer.choice_logprobs(prompts, texts, chat=self._config.chat)
        self._check_number(len(logprobs), len(prompts))
        return [checked_candidates(*parts) for parts in zip(items, scored, logprobs, strict=True)]

    def _check_number(self, found: int, expected: int) -> None:
        if found != expected:
            raise DataError(f"{self._config.answerer} returned {found} answers to {expected} prompts")
