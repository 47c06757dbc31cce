"""The model as an evaluation sees it: it generates answers, or scores the likelihood of given ones.

Shape suffixes: B rows (prompts or choices), T tokens of the padded prompt, C tokens of the padded choice, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
from oqvl_model.processing_oqvl import OqvlProcessor, Prompt
from oqvl_shards.errors import DataError, HardwareError, UsageError


class VlmAnswerer:
    """Answers prompts of text and images with a trained model, using greedy decoding.

    Args:
        checkpoint: The model directory.
        batch_size: Number of prompts, or of choices, that run together.
        device: `cpu`, `cuda`, or `auto`, which picks CUDA if it is available.
        dtype: Name of the torch dtype to run in. `auto` means bfloat16 on CUDA and float32 elsewhere.
        visual_tokens: Visual tokens per image. None keeps the checkpoint's number.

    Raises:
        HardwareError: If `device` is `cuda` and torch finds no CUDA device.
    """

    def __init__(
        self,
        checkpoint: Path | str,
        *,
        batch_size: int = 8,
        device: str = "auto",
        dtype: str = "auto",
        visual_tokens: int | None = None,
    ) -> None:
        self.device = _resolve_device(device)
        if dtype == "auto":
            dtype = "bfloat16" if self.device.type == "cuda" else "float32"
        self.batch_size = batch_size
        processor = OqvlProcessor.from_pretrained(checkpoint)
        # Typed as Any because transformers' annotations do not say which class its mixins are mixed into.
        model: Any = OqvlForConditionalGeneration.from_pretrained(checkpoint, dtype=getattr(torch, dtype))
        if visual_tokens is not None:
            model.set_visual_tokens(visual_tokens)
        tokens = {"visual_tokens_per_image": model.config.visual_tokens_per_image}
        self.processor = OqvlProcessor(processor.config.model_copy(update=tokens), processor.tokenizer_json)
        self.model = model.to(self.device).eval()

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Prompt], *, chat: bool, max_new_tokens: int) -> list[str]:
        """Return the model's answer to each prompt, without the end token.

        Args:
            prompts: The prompts, each a sequence of texts and images.
            chat: Whether to wrap each prompt as a user turn. If False, the prompt is used unchanged.
            max_new_tokens: Maximum number of tokens per answer.
        """
        answers: dict[int, str] = {}
        for indices in self._batches(prompts):
            inputs = self.processor.batch([prompts[index] for index in indices], chat=chat).to(self.device)
            ids = self.model.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=max_new_tokens,
                eos_token_id=self.processor.end_token_id,
                pad_token_id=self.processor.pad_token_id,
            )
            for index, row in zip(indices, ids[:, inputs["input_ids"].shape[1] :].tolist(), strict=True):
                answers[index] = self.processor.decode(_cut_at(row, self.processor.end_token_id))
        return [answers[index] for index in range(len(prompts))]

    @torch.inference_mode()
    def choice_logprobs(
        self, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]], *, chat: bool
    ) -> list[list[tuple[float, int]]]:
        """Return how likely each choice is as the continuation of its prompt.

        Each prompt runs once, however many choices it has. Each choice is tokenised on its own and does not include
        the end token.

        Args:
            prompts: The prompts, each a sequence of texts and images.
            choices: The continuations to score, one list per prompt.
            chat: Whether to wrap each prompt as a user turn.

        Returns:
            For each choice of each prompt, the sum of its tokens' natural-log probabilities and the number of tokens.

        Raises:
            UsageError: If `prompts` and `choices` differ in length.
            DataError: If a choice has no tokens.
        """
        if len(prompts) != len(choices):
            raise UsageError(
                f"choice_logprobs got {len(prompts)} prompts and {len(choices)} lists of choices",
                hint="pass one list of choices per prompt",
            )
        scores: dict[int, list[tuple[float, int]]] = {}
        for indices in self._batches(prompts):
            choice_ids = [[self._encode_choice(choice) for choice in choices[index]] for index in indices]
            batch_scores = self._score([prompts[index] for index in indices], choice_ids, chat=chat)
            scores.update(zip(indices, batch_scores, strict=True))
        return [scores[index] for index in range(len(prompts))]

    def _encode_choice(self, choice: str) -> list[int]:
        ids = self.processor.encode_text(choice)
        if not ids:
            raise DataError(f"the choice {choice!r} has no tokens", hint="a choice needs at least one character")
        return ids

    def _score(
        self, prompts: Sequence[Prompt], choice_ids: Sequence[Sequence[list[int]]], *, chat: bool
    ) -> list[list[tuple[float, int]]]:
        """Run each prompt once, then run all its choices on copies of its cache."""
        inputs = self.processor.batch(prompts, chat=chat).to(self.device)
        mask_BT = inputs["attention_mask"]
        cache = DynamicCache(config=self.model.config.text_config)
        first_BV = self.model(
            **inputs,
            position_ids=(mask_BT.cumsum(1) - 1).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        # Flatten the choices into rows, and remember which prompt each row continues.
        prompt_of_row = [prompt for prompt, ids_of_prompt in enumerate(choice_ids) for _ in ids_of_prompt]
        rows = [ids for ids_of_prompt in choice_ids for ids in ids_of_prompt]
        sums: list[float] = []
        for start in range(0, len(rows), self.batch_size):
            batch = slice(start, start + self.batch_size)
            index = torch.tensor(prompt_of_row[batch], device=self.device)
            sums += self._score_rows(first_BV[index], mask_BT[index], _copy_rows(cache, index), rows[batch])
        scores = iter(zip(sums, map(len, rows), strict=True))
        return [[next(scores) for _ in ids_of_prompt] for ids_of_prompt in choice_ids]

    def _score_rows(
        self, first_BV: Tensor, mask_BT: Tensor, cache: DynamicCache, rows: Sequence[Sequence[int]]
    ) -> list[float]:
        """Return the sum of the log-probabilities of each row of ids, given its prompt.

        Args:
            first_BV: Logits that predict the first id of each row.
            mask_BT: Attention mask of each row's prompt.
            cache: Cache of each row's prompt; it is extended in place.
            rows: Ids of each choice, at least one per row.
        """
        length = max(map(len, rows))
        ids_BC = torch.tensor([[*row, *[0] * (length - len(row))] for row in rows], device=self.device)
        is_real_BC = torch.tensor(
            [[True] * len(row) + [False] * (length - len(row)) for row in rows], device=self.device
        )
        logits_BCV = first_BV[:, None]
        if length > 1:
            # The rows are padded on the right, where the causal mask hides the padding. The last id is not fed in,
            # because its prediction is not scored.
            following_BCV = self.model(
                input_ids=ids_BC[:, :-1],
                attention_mask=torch.cat([mask_BT, torch.ones_like(ids_BC[:, :-1])], dim=1),
                position_ids=mask_BT.sum(1, keepdim=True) + torch.arange(length - 1, device=self.device),
                past_key_values=cache,
                use_cache=True,
            ).logits
            logits_BCV = torch.cat([logits_BCV, following_BCV], dim=1)
        logprobs_BC = logits_BCV.float().log_softmax(-1).gather(-1, ids_BC[..., None])[..., 0]
        return (logprobs_BC * is_real_BC).sum(1).tolist()

    def _batches(self, prompts: Sequence[Prompt]) -> Iterator[list[int]]:
        """Yield batches of prompt indices, grouped by similar length to keep padding low."""
        order = sorted(range(len(prompts)), key=lambda index: (_size(prompts[index]), index))
        for start in range(0, len(order), self.batch_size):
            yield order[start : start + self.batch_size]


def _size(prompt: Prompt) -> tuple[int, int]:
    """Return the number of images and the number of characters in `prompt`."""
    texts = [piece for piece in prompt if isinstance(piece, str)]
    return len(prompt) - len(texts), sum(map(len, texts))


def _cut_at(ids: list[int], end_id: int) -> list[int]:
    return ids[: ids.index(end_id)] if end_id in ids else ids


def _copy_rows(cache: DynamicCache, index: Tensor) -> DynamicCache:
    """Return a new cache with the rows of `cache` that `index` selects."""
    copied = copy(cache)
    # A layer with a sliding window also knows how many tokens it has seen. The copies keep that.
    copied.layers = [copy(layer) for layer in cache.layers]
    copied.batch_select_indices(index)
    return copied


def _resolve_device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise HardwareError(f"device is {name!r}, but torch finds no CUDA device", hint="use device=cpu")
    return torch.device(name)
