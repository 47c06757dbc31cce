"""Ask a model the items of a benchmark: items become prompts, and answers become predictions."""

from __future__ import annotations

from collections.abc import Sequence

from tqdm import tqdm

from oqvl_eval.answerer import Answerer, Prompt
from oqvl_eval.benchmark import Benchmark
from oqvl_eval.config import EvalConfig
from oqvl_eval.controls import Pictures
from oqvl_eval.item import Item
from oqvl_eval.predictions import Candidate, Prediction, checked_candidates, with_blank
from oqvl_eval.prompt import continuations, prompt_sha256, render, resolve_style
from oqvl_shards.binding import bind
from oqvl_shards.errors import DataError


class Asker:
    """Asks a model the items of a benchmark, as a configuration says.

    Args:
        config: The configuration of the evaluation.
        benchmark: The benchmark.
        answerer: The model.

    Raises:
        ConfigError: If the configured pictures (shuffled or blank) do not go with the benchmark.
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
        """Make the model that `config.answerer` names; see `oqvl_shards.binding.bind` for the errors."""
        answerer: Answerer = bind(
            config.answerer, Answerer, config.checkpoint, key="answerer", options=config.answerer_options
        )
        return cls(config, benchmark, answerer)

    def progress(self, num_items: int, num_todo: int) -> tqdm:
        """Return a progress bar over the items. It is silent if stderr is not a terminal."""
        return tqdm(total=num_items, initial=num_items - num_todo, desc=self._benchmark.task, unit="item", disable=None)

    def ask(self, rows: Sequence[int], progress: tqdm) -> list[Prediction]:
        """Return the predictions for the items at `rows`; the model gets `items_per_call` of them at a time.

        Raises:
            DataError: If a picture cannot be decoded, or the model returns something that is not an answer.
        """
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
        """Return the prompt for the item at `row` and the prompt's digest."""
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
        """Score every option of the items, and score them again under blank pictures if the configuration asks to."""
        items = [self._benchmark.items[row] for row in rows]
        choices_as, chat = self._config.choices_as, self._config.chat
        continuations_of_items = [
            continuations(item, prompt, choices_as, chat=chat) for item, prompt in zip(items, prompts, strict=True)
        ]
        candidates = self._candidates(items, prompts, continuations_of_items)
        if self._blank_pictures is not None:
            blank_prompts = [self._prompt(row, self._blank_pictures)[0] for row in rows]
            blanks = self._candidates(items, blank_prompts, continuations_of_items)
            candidates = [with_blank(given, blank) for given, blank in zip(candidates, blanks, strict=True)]
        return [Prediction(*values) for values in zip(items, [None] * len(items), candidates, digests, strict=True)]

    def _candidates(
        self,
        items: Sequence[Item],
        prompts: Sequence[Prompt],
        continuations_of_items: Sequence[Sequence[tuple[int, str]]],
    ) -> list[tuple[Candidate, ...]]:
        texts = [[text for _, text in item_continuations] for item_continuations in continuations_of_items]
        scores_of_items = self._answerer.choice_logprobs(prompts, texts, chat=self._config.chat)
        self._check_number(len(scores_of_items), len(prompts))
        return [
            checked_candidates(item, item_continuations, scores)
            for item, item_continuations, scores in zip(items, continuations_of_items, scores_of_items, strict=True)
        ]

    def _check_number(self, num_answers: int, num_prompts: int) -> None:
        if num_answers != num_prompts:
            raise DataError(
                f"{self._config.answerer} returned {num_answers} answers to {num_prompts} prompts",
                hint="an Answerer returns one entry per prompt, in order",
            )
