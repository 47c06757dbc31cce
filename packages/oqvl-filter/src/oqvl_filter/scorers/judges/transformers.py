"""A judge that runs any image-text-to-text model of transformers on this machine.

Shape suffixes: B images, P prompts per image, T tokens, V vocabulary.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from oqvl_filter.scorers.judges.judge import Answer
from oqvl_filter.scorers.weights import digest_directory, digest_weights
from oqvl_shards.errors import ConfigError, HardwareError, require_extra

if TYPE_CHECKING:
    import torch


class TransformersJudge:
    """Answers with a model that `AutoModelForImageTextToText` loads; a `VisionJudge`.

    All prompts about a batch of images share one pass of the vision tower if the model has `get_image_features`, as
    the models of transformers do. Prompts are padded on the left and the padding is masked, so an answer does not
    depend on the rest of the batch. A special token that a caption spells out is broken up.

    Args:
        model: Directory of the model with its processor, or its name on a hub.
        dtype: Number format: float32, float16 or bfloat16.
        device: torch device, e.g. cpu or cuda.

    Raises:
        MissingExtraError: On first use, if the extra `mlm` is not installed.
        ConfigError: On first use, if the model or its processor cannot be loaded.
        HardwareError: On first use, if the device does not exist.
    """

    def __init__(self, model: str, dtype: str = "float32", device: str = "cpu") -> None:
        if dtype not in ("float32", "float16", "bfloat16"):
            raise ConfigError(f"scorer.options.dtype={dtype!r}, expected float32, float16 or bfloat16")
        self._source = model
        self._dtype = dtype
        self._device = device

    def fingerprint(self) -> str:
        """Return a sha256 of the model's files (for a name on a hub: of its weights) and of the number format."""
        directory = Path(self._source)
        files = digest_directory(directory) if directory.is_dir() else self._digest_loaded()
        return hashlib.sha256(json.dumps([files, self._dtype]).encode()).hexdigest()

    def answer(
        self, images: Sequence[Image.Image], prompts: Sequence[Sequence[str]], max_new_tokens: int
    ) -> list[list[Answer]]:
        """Return one answer [B][P] per prompt; see `VisionJudge`."""
        with _one_vision_pass(self.model):
            rounds = [self._answer_one_each(images, column, max_new_tokens) for column in zip(*prompts, strict=True)]
        return [list(row) for row in zip(*rounds, strict=True)]

    @cached_property
    def model(self) -> Any:
        """The network, in evaluation mode."""
        with require_extra("oqvl-filter", "mlm"):
            import torch
            from transformers import AutoModelForImageTextToText
        try:
            model: Any = AutoModelForImageTextToText.from_pretrained(self._source, dtype=getattr(torch, self._dtype))
        except (OSError, ValueError, KeyError) as error:
            problem = str(error).partition("\n")[0]  # the rest lists every known model
            raise ConfigError(
                f"transformers cannot load {self._source!r} as an image-text-to-text model: {problem}",
                hint="check scorer.options.model=",
            ) from error
        try:
            return model.to(self._device).eval()
        except (RuntimeError, AssertionError) as error:
            raise HardwareError(f"the device {self._device!r} cannot be used: {error}") from error

    @cached_property
    def processor(self) -> Any:
        """Tokenizer and image processor, padding on the left."""
        from transformers import AutoProcessor

        try:
            processor: Any = AutoProcessor.from_pretrained(self._source)
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(f"{self._source!r} has no processor that transformers loads: {error}") from error
        if processor.chat_template is None:
            raise ConfigError(f"the processor of {self._source!r} has no chat template", hint="use an instruct model")
        processor.tokenizer.padding_side = "left"
        if processor.tokenizer.pad_token is None:
            processor.tokenizer.pad_token = processor.tokenizer.eos_token
        return processor

    @cached_property
    def _special_tokens(self) -> list[str]:
        tokenizer = self.processor.tokenizer
        added = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
        image_token = getattr(self.processor, "image_token", "")
        return sorted({token for token in (*added, image_token) if len(token) > 1}, key=len, reverse=True)

    @cached_property
    def _numbers(self) -> dict[int, str]:
        """Texts of the tokens that are whole numbers, by id; a number may occur with and without a space."""
        tokenizer = self.processor.tokenizer
        texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
        return {token: text for token, text in enumerate(texts) if text.strip().isdecimal() and text.strip().isascii()}

    def _answer_one_each(
        self, images: Sequence[Image.Image], prompts: Sequence[str], max_new_tokens: int
    ) -> list[Answer]:
        """Return the answers [B] to one prompt about each image."""
        import torch

        inputs = self.processor(
            text=[self._chat(prompt) for prompt in prompts],
            images=[[image] for image in images],
            padding=True,
            return_tensors="pt",
        ).to(self._device)
        with torch.inference_mode():
            generated = self.model.generate(
                **inputs.to(self.model.dtype),
                do_sample=False,
                max_new_tokens=max_new_tokens,
                output_logits=True,
                pad_token_id=self.processor.tokenizer.pad_token_id,
                return_dict_in_generate=True,
            )
        new_BT = generated.sequences[:, inputs["input_ids"].shape[1] :]
        texts = self.processor.tokenizer.batch_decode(new_BT, skip_special_tokens=True)
        first_BV = generated.logits[0].float().softmax(dim=-1).cpu()
        return [
            Answer(text, self._ends(tokens), self._number_probabilities(first))
            for text, tokens, first in zip(texts, new_BT.tolist(), first_BV, strict=True)
        ]

    def _chat(self, prompt: str) -> str:
        for special in self._special_tokens:
            prompt = prompt.replace(special, f"{special[:1]} {special[1:]}")
        content = [{"type": "image"}, {"type": "text", "text": prompt}]
        return self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)

    def _ends(self, tokens: Sequence[int]) -> bool:
        ends = self.model.generation_config.eos_token_id
        return any(token in (ends if isinstance(ends, list) else [ends]) for token in tokens)

    def _number_probabilities(self, first_V: torch.Tensor) -> dict[str, float]:
        probabilities: dict[str, float] = {}
        for token, text in self._numbers.items():
            probabilities[text.strip()] = probabilities.get(text.strip(), 0.0) + first_V[token].item()
        return probabilities

    def _digest_loaded(self) -> str:
        tokenizer = self.processor.tokenizer
        settings = [self.processor.chat_template, tokenizer.get_vocab(), digest_weights(self.model)]
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


@contextmanager
def _one_vision_pass(model: Any) -> Iterator[None]:
    """Within the block, `model` embeds images once and returns the same features from then on."""
    owner = model.base_model
    compute: Callable[..., Any] | None = getattr(owner, "get_image_features", None)
    if compute is None:
        yield
        return
    features: list[Any] = []

    @wraps(compute)  # `generate` looks at its parameters
    def remember(*args: Any, **kwargs: Any) -> Any:
        if not features:
            features.append(compute(*args, **kwargs))
        return features[0]

    owner.get_image_features = remember
    try:
        yield
    finally:
        del owner.get_image_features
