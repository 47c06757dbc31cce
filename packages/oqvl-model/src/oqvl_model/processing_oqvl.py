"""Pictures and text to tensors: the model's pixels, its token ids, its chat template.

Tokens are made exactly as oqvl-pack makes them for training. A prompt is a row of text, special tokens and images;
neighbouring texts join, each text between two special tokens or images is tokenised on its own, and text never yields
the id of a special token, whatever it spells.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from tokenizers import Tokenizer
from torch import Tensor
from transformers import BatchFeature, PreTrainedTokenizerFast

from oqvl_shards.atomic import atomic_write
from oqvl_shards.config import StageConfig
from oqvl_shards.errors import ConfigError, DataError

Prompt = Sequence[str | Image.Image]
"""Texts and images in reading order; a text may spell `<image>` or any other special token and stays text."""

IMAGE_MARK = "<image>"
"""What stands for an image in the texts of conversation data."""

PROCESSOR_FILE = "processor_config.json"
TOKENIZER_FILE = "tokenizer.json"


class ProcessorConfig(StageConfig):
    """What a processor needs to know beside its tokenizer; saved as `processor_config.json`."""

    processor_class: str = Field(default="OqvlProcessor", description="class that reads this file")
    image_size: int = Field(gt=0, description="side of the square that images are resized to, in pixels")
    image_mean: tuple[float, float, float] = Field(description="mean of RGB values in [0, 1], subtracted")
    image_std: tuple[float, float, float] = Field(description="standard deviation of RGB values in [0, 1]")
    visual_tokens_per_image: int = Field(gt=0, description="tokens that an image becomes")
    image_token: str = Field(default="<image>", description="special token that holds a visual token's place")
    end_token: str = Field(default="<|im_end|>", description="special token that ends a caption or a turn")
    pad_token: str = Field(default="<|pad|>", description="special token that fills up a batch")
    bos_token: str = Field(default="<s>", description="special token that a document begins with; empty: none")
    start_token: str = Field(default="<|im_start|>", description="special token that begins a turn of a chat")
    system_prompt: str = Field(default="You are a helpful assistant.", description="system turn; empty: no turn")


class OqvlProcessor:
    """Prepares images and prompts for `OqvlForConditionalGeneration`.

    Args:
        config: Sizes, statistics and special tokens.
        tokenizer_json: Content of a `tokenizer.json`; kept byte for byte, because its digest ties data to models.

    Raises:
        ConfigError: When the tokenizer is malformed, or a token named in `config` is no special token of it.
    """

    def __init__(self, config: ProcessorConfig, tokenizer_json: bytes) -> None:
        self.config = config
        self.tokenizer_json = tokenizer_json
        try:
            self._tokenizer = Tokenizer.from_str(tokenizer_json.decode())
        except Exception as error:  # tokenizers raises bare Exception
            raise ConfigError(f"tokenizer.json cannot be read: {error}") from error
        # Text that spells a special token is cut into ordinary tokens.
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.image_token_id = self.special_id(config.image_token)
        self.end_token_id = self.special_id(config.end_token)
        self.pad_token_id = self.special_id(config.pad_token)
        self.bos_token_id = self.special_id(config.bos_token) if config.bos_token else None

    @classmethod
    def from_pretrained(cls, directory: str | Path, **kwargs: Any) -> Self:
        """Read a processor from a model directory.

        Args:
            directory: The local directory.
            **kwargs: Taken because transformers' auto classes pass them; unused.

        Raises:
            ConfigError: When a file is missing or malformed.
        """
        directory = Path(directory)
        try:
            values = json.loads((directory / PROCESSOR_FILE).read_text(encoding="utf-8"))
            tokenizer_json = (directory / TOKENIZER_FILE).read_bytes()
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{directory} holds no readable processor: {error}", hint="make a model directory with oqvl-model init"
            ) from error
        return cls(ProcessorConfig.from_values(values, where=str(directory / PROCESSOR_FILE)), tokenizer_json)

    def save_pretrained(self, directory: str | Path, **kwargs: Any) -> None:
        """Write the processor to `directory`: `processor_config.json`, `tokenizer.json`, `tokenizer_config.json`.

        Args:
            directory: A local directory; made when missing.
            **kwargs: Taken because transformers passes them; unused.
        """
        directory = Path(directory)
        tokens = {
            "bos_token": self.config.bos_token or None,
            "eos_token": self.config.end_token,
            "pad_token": self.config.pad_token,
        }
        tokenizer_config = {"tokenizer_class": "PreTrainedTokenizerFast", **tokens}
        atomic_write(directory / PROCESSOR_FILE, _json_bytes(self.config.model_dump(mode="json")))
        atomic_write(directory / "tokenizer_config.json", _json_bytes(tokenizer_config))
        atomic_write(directory / TOKENIZER_FILE, self.tokenizer_json)

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer as transformers knows it; unlike this class it reads special tokens in text."""
        return PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer.from_str(self.tokenizer_json.decode()),
            bos_token=self.config.bos_token or None,
            eos_token=self.config.end_token,
            pad_token=self.config.pad_token,
        )

    @property
    def vocab_size(self) -> int:
        """Ids that the tokenizer can yield: the largest plus one."""
        return 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values())

    def special_id(self, token: str) -> int:
        """Return the id of a special token.

        Raises:
            ConfigError: When the tokenizer has no such special token.
        """
        special = {
            added.content: token_id
            for token_id, added in self._tokenizer.get_added_tokens_decoder().items()
            if added.special
        }
        if token not in special:
            raise ConfigError(
                f"{token!r} is no special token of the tokenizer, which has {sorted(special)}",
                hint="add it to tokenizer.json with special=true, or name another token",
            )
        return special[token]

    def encode_text(self, text: str) -> list[int]:
        """Return the ids of `text`, never one of a special token."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def encode_prompt(self, prompt: Prompt, *, chat: bool) -> list[int]:
        """Return the ids of `prompt`, every image as so many placeholders as it has visual tokens.

        Args:
            prompt: Texts and images.
            chat: Whether to wrap it as the user's turn of a chat, up to where the assistant's answer begins. Else the
                prompt stands as it is, after the begin-of-document token.
        """
        parts: list[str | int | Image.Image] = [] if self.bos_token_id is None else [self.bos_token_id]
        parts += self._chat(prompt) if chat else prompt
        return self._encode_parts(parts)

    def _chat(self, prompt: Prompt) -> list[str | int | Image.Image]:
        start, end = self.special_id(self.config.start_token), self.end_token_id
        system_prompt = self.config.system_prompt
        system_turn = [start, f"system\n{system_prompt}", end, "\n"] if system_prompt else []
        return [*system_turn, start, "user\n", *prompt, end, "\n", start, "assistant\n"]

    def _encode_parts(self, parts: Sequence[str | int | Image.Image]) -> list[int]:
        ids: list[int] = []
        text = ""
        for part in [*parts, None]:
            if isinstance(part, str):
                text += part
                continue
            if text:
                ids += self.encode_text(text)
                text = ""
            if isinstance(part, int):
                ids.append(part)
            elif part is not None:
                ids += [self.image_token_id] * self.config.visual_tokens_per_image
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids` without special tokens."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)

    def pixels(self, images: Sequence[Image.Image]) -> Tensor:
        """Return the normalised pixels of RGB images, float32 [N, 3, size, size]; N may be 0.

        Images are resized to the square with the bicubic filter; their aspect ratio is not kept.
        """
        size = self.config.image_size
        mean, std = (np.asarray(x, dtype=np.float32) for x in (self.config.image_mean, self.config.image_std))
        pixels_NHWC = np.empty((len(images), size, size, 3), dtype=np.float32)
        for index, image in enumerate(images):
            resized = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
            pixels_NHWC[index] = (np.asarray(resized, dtype=np.float32) / 255 - mean) / std
        return torch.from_numpy(pixels_NHWC).permute(0, 3, 1, 2).contiguous()

    def batch(self, prompts: Sequence[Prompt], *, chat: bool) -> BatchFeature:
        """Return a batch padded on the left, as `generate` wants it.

        Returns:
            `input_ids` int64 [B, T], `attention_mask` int64 [B, T], and with images `pixel_values` [N, 3, H, W].
        """
        inputs = left_pad([self.encode_prompt(prompt, chat=chat) for prompt in prompts], self.pad_token_id)
        images = [part for prompt in prompts for part in prompt if not isinstance(part, str)]
        if images:
            inputs["pixel_values"] = self.pixels(images)
        return BatchFeature(inputs)

    def __call__(
        self,
        images: Image.Image | Sequence[Image.Image] | None = None,
        text: str | Sequence[str] = "",
        *,
        chat: bool = False,
        **kwargs: Any,
    ) -> BatchFeature:
        """Return the batch of texts whose `<image>` marks stand for `images` in order; see `batch`.

        Args:
            images: One image, or all images of all texts.
            text: One text or several.
            chat: Whether each text is a user's turn; see `encode_prompt`.
            **kwargs: Taken because transformers' pipelines pass them; unused.

        Raises:
            DataError: When marks and images differ in number.
        """
        texts = [text] if isinstance(text, str) else list(text)
        images = [images] if isinstance(images, Image.Image) else list(images or ())
        num_marks = sum(text.count(IMAGE_MARK) for text in texts)
        if num_marks != len(images):
            raise DataError(f"the texts hold {num_marks} {IMAGE_MARK} marks, but {len(images)} images were passed")
        remaining = iter(images)
        return self.batch([_split_marks(text, remaining) for text in texts], chat=chat)


def left_pad(rows: Sequence[Sequence[int]], pad_id: int) -> dict[str, Tensor]:
    """Return `input_ids` and `attention_mask`, int64 [B, T], with the rows aligned on the right."""
    length = max(len(row) for row in rows)
    input_ids = torch.full((len(rows), length), pad_id, dtype=torch.int64)
    attention_mask = torch.zeros_like(input_ids)
    for index, row in enumerate(rows):
        input_ids[index, length - len(row) :] = torch.tensor(row, dtype=torch.int64)
        attention_mask[index, length - len(row) :] = 1
    return {"input_ids": input_ids, "attention_mask": attention_mask}


def _split_marks(text: str, images: Any) -> list[str | Image.Image]:
    first, *others = text.split(IMAGE_MARK)
    parts: list[str | Image.Image] = [first]
    for other in others:
        parts += [next(images), other]
    return parts


def _json_bytes(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()
