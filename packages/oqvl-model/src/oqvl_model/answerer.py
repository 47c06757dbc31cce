"""The model as an evaluation sees it: prompts to answers, or to the likelihood of given answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
from oqvl_model.processing_oqvl import OqvlProcessor, Prompt
from oqvl_shards.errors import DataError, HardwareError, UsageError


class VlmAnswerer:
    """Answers prompts of text and images with a trained model, greedily.

    Args:
        checkpoint: A model directory.
        batch_size: Prompts that are run together.
        device: `cpu`, `cuda`, or `auto` for CUDA where there is one.
        dtype: Precision to run in, a name of torch; `auto`: bfloat16 on CUDA, float32 elsewhere.
        visual_tokens: Visual tokens an image; None keeps the checkpoint's number.

    Raises:
        HardwareError: When `cuda` was asked for and there is none.
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
        self.device = _device(device)
        if dtype == "auto":
            dtype = "bfloat16" if self.device.type == "cuda" else "float32"
        self.batch_size = batch_size
        processor = OqvlProcessor.from_pretrained(checkpoint)
        # Any: the annotations of transformers do not know what its mixins are mixed into.
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
            prompts: Texts and images.
            chat: Whether to wrap each as a user's turn; else it stands as it is.
            max_new_tokens: Tokens an answer may have.
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
                answers[index] = self.processor.decode(_until(row, self.processor.end_token_id))
        return [answers[index] for index in range(len(prompts))]

    @torch.inference_mode()
    def choice_logprobs(
        self, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]], *, chat: bool
    ) -> list[list[tuple[float, int]]]:
        """Return how likely each choice is as the continuation of its prompt.

        A prompt runs once, whatever the number of its choices. A choice is tokenised on its own; the end token is not
        part of it.

        Args:
            prompts: Texts and images.
            choices: For each prompt the continuations to score.
            chat: Whether to wrap each prompt as a user's turn.

        Returns:
            For each prompt and choice the sum of the tokens' log-probabilities (natural), and their number.

        Raises:
            UsageError: When prompts and choices differ in number.
            DataError: When a choice has no token.
        """
        if len(prompts) != len(choices):
            raise UsageError(f"{len(prompts)} prompts, but choices for {len(choices)}")
        scores: dict[int, list[tuple[float, int]]] = {}
        for indices in self._batches(prompts):
            encoded = [[self._encode_choice(choice) for choice in choices[index]] for index in indices]
            batch_scores = self._score([prompts[index] for index in indices], encoded, chat=chat)
            scores.update(zip(indices, batch_scores, strict=True))
        return [scores[index] for index in range(len(prompts))]

    def _encode_choice(self, choice: str) -> list[int]:
        ids = self.processor.encode_text(choice)
        if not ids:
            raise DataError(f"the choice {choice!r} has no token")
        return ids

    def _score(
        self, prompts: Sequence[Prompt], choices: Sequence[Sequence[list[int]]], *, chat: bool
    ) -> list[list[tuple[float, int]]]:
        """Run the prompts once, then all their choices on copies of the cache."""
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
        owners = [row for row, item in enumerate(choices) for _ in item]
        rows = [ids for item in choices for ids in item]
        sums: list[float] = []
        for start in range(0, len(rows), self.batch_size):
            chunk = slice(start, start + self.batch_size)
            index = torch.tensor(owners[chunk], device=self.device)
            sums += self._score_rows(first_BV[index], mask_BT[index], _copy_rows(cache, index), rows[chunk])
        pairs = iter(zip(sums, map(len, rows), strict=True))
        return [[next(pairs) for _ in item] for item in choices]

    def _score_rows(
        self, first_BV: Tensor, mask_BT: Tensor, cache: DynamicCache, rows: Sequence[Sequence[int]]
    ) -> list[float]:
        """Return the sum of log-probabilities of each row of ids after its prompt."""
        length = max(map(len, rows))
        ids_BC = torch.tensor([[*row, *[0] * (length - len(row))] for row in rows], device=self.device)
        is_real_BC = torch.tensor(
            [[True] * len(row) + [False] * (length - len(row)) for row in rows], device=self.device
        )
        logits_BCV = first_BV[:, None]
        if length > 1:
            # Padding is on the right here, where causality hides it; the last token predicts nothing that is wanted.
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
        """Yield the indices of the prompts, similar lengths together so that little is padded."""
        order = sorted(range(len(prompts)), key=lambda index: (_length(prompts[index]), index))
        for start in range(0, len(order), self.batch_size):
            yield order[start : start + self.batch_size]


def _length(prompt: Prompt) -> tuple[int, int]:
    """Images and characters."""
    texts = [part for part in prompt if isinstance(part, str)]
    return len(prompt) - len(texts), sum(map(len, texts))


def _until(ids: list[int], end_id: int) -> list[int]:
    return ids[: ids.index(end_id)] if end_id in ids else ids


def _copy_rows(cache: DynamicCache, index: Tensor) -> DynamicCache:
    """Return a new cache that holds the given rows of `cache`."""
    layers: list[Any] = cache.layers
    return DynamicCache([(layer.keys[index], layer.values[index]) for layer in layers])


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise HardwareError(f"device is {name}, but torch finds no CUDA device", hint="use device=cpu")
    return torch.device(name)
