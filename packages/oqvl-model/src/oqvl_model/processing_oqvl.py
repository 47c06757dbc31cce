"""The processor: it turns images and text into pixels and token ids, and applies the chat template.

It tokenises exactly as oqvl-pack does for training:

- A prompt is a sequence of texts, special tokens and images.
- Adjacent texts are joined. Each text between two special tokens or images is tokenised on its own.
- Text never produces the id of a special token, no matter what it spells.

Shape suffixes: B rows, T tokens of the longest row, N images, H and W pixels, C colours.
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

from oqvl_model.chat_template import ChatTokens, Piece, Section, chat_sections
from oqvl_model.config import TemplateName
from oqvl_shards.atomic import atomic_write
from oqvl_shards.config import StageConfig
from oqvl_shards.errors import ConfigError, DataError

Prompt = Sequence[str | Image.Image]
"""Texts and images in reading order. A text that spells `<image>` or another special token is still text."""

IMAGE_MARK = "<image>"
"""The mark that stands for an image in the text of prompts and conversations."""

_PROCESSOR_FILE = "processor_config.json"
TOKENIZER_FILE = "tokenizer.json"


class ProcessorConfig(StageConfig):
    """The settings of a processor in addition to its tokenizer. They are saved as `processor_config.json`."""

    processor_class: str = Field(default="OqvlProcessor", description="name of the class that reads this file")
    image_size: int = Field(gt=0, description="side of the square that images are resized to, in pixels")
    image_mean: tuple[float, float, float] = Field(description="mean that is subtracted from RGB values in [0, 1]")
    image_std: tuple[float, float, float] = Field(description="standard deviation that they are divided by")
    visual_tokens_per_image: int = Field(gt=0, description="visual tokens per image")
    image_token: str = Field(default="<image>", description="special token that stands in for every visual token")
    end_token: str = Field(default="<|im_end|>", description="special token that ends a caption or a turn")
    pad_token: str = Field(default="<|pad|>", description="special token that pads a batch")
    bos_token: str = Field(default="<s>", description="special token that begins a document; empty: none")
    start_token: str = Field(default="<|im_start|>", description="special token that begins a chat turn")
    system_prompt: str = Field(
        default="You are a helpful assistant.", description="text of the system turn; empty: no system turn"
    )
    chat_template: TemplateName = Field(
        default="chatml", description="chatml, or open-qwen2vl for the template of the released weights"
    )


class OqvlProcessor:
    """Prepares images and prompts for `OqvlForConditionalGeneration`.

    Args:
        config: Image size, pixel statistics and special tokens.
        tokenizer_json: Content of a `tokenizer.json`. It is kept byte for byte, because packed data names the tokenizer
            of its model by its digest.

    Raises:
        ConfigError: If the tokenizer is malformed, or lacks a special token that `config` names.
    """

    def __init__(self, config: ProcessorConfig, tokenizer_json: bytes) -> None:
        self.config = config
        self.tokenizer_json = tokenizer_json
        try:
            self._tokenizer = Tokenizer.from_str(tokenizer_json.decode())
        except Exception as error:  # tokenizers raises bare Exception
            raise ConfigError(f"tokenizer.json cannot be read: {error}") from error
        # Despite its name, this makes the tokenizer cut text that spells a special token into ordinary tokens.
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
            directory: The local model directory.
            **kwargs: Ignored; accepted because transformers' auto classes pass them.

        Raises:
            ConfigError: If a file is missing or malformed.
        """
        directory = Path(directory)
        try:
            values = json.loads((directory / _PROCESSOR_FILE).read_text(encoding="utf-8"))
            tokenizer_json = (directory / TOKENIZER_FILE).read_bytes()
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{directory} has no readable processor: {error}", hint="make a model directory with oqvl-model init"
            ) from error
        return cls(ProcessorConfig.from_values(values, where=str(directory / _PROCESSOR_FILE)), tokenizer_json)

    def save_pretrained(self, directory: str | Path, **kwargs: Any) -> None:
        """Write the processor to `directory`: `processor_config.json`, `tokenizer.json`, `tokenizer_config.json`.

        Args:
            directory: The local directory to write to. It is created if it does not exist.
            **kwargs: Ignored; accepted because transformers passes them.
        """
        directory = Path(directory)
        tokens = {
            "bos_token": self.config.bos_token or None,
            "eos_token": self.config.end_token,
            "pad_token": self.config.pad_token,
        }
        tokenizer_config = {"tokenizer_class": "PreTrainedTokenizerFast", **tokens}
        atomic_write(directory / _PROCESSOR_FILE, _json_bytes(self._saved_values()))
        atomic_write(directory / "tokenizer_config.json", _json_bytes(tokenizer_config))
        atomic_write(directory / TOKENIZER_FILE, self.tokenizer_json)

    def _saved_values(self) -> dict[str, Any]:
        """Return the configuration as saved: without `chat_template` if it is the default, so that files stay equal."""
        values = self.config.model_dump(mode="json")
        if self.config.chat_template == ProcessorConfig.model_fields["chat_template"].default:
            del values["chat_template"]
        return values

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer as a transformers object. Unlike this class, it recognises special tokens in text."""
        return PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer.from_str(self.tokenizer_json.decode()),
            bos_token=self.config.bos_token or None,
            eos_token=self.config.end_token,
            pad_token=self.config.pad_token,
        )

    @property
    def vocab_size(self) -> int:
        """The largest id that the tokenizer can produce, plus one."""
        return 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values())

    def special_id(self, token: str) -> int:
        """Return the id of a special token.

        Raises:
            ConfigError: If the tokenizer has no such special token.
        """
        special_ids = {
            added.content: token_id
            for token_id, added in self._tokenizer.get_added_tokens_decoder().items()
            if added.special
        }
        if token not in special_ids:
            raise ConfigError(
                f"{token!r} is not a special token of the tokenizer, which has {sorted(special_ids)}",
                hint="add it to tokenizer.json with special=true, or name another token",
            )
        return special_ids[token]

    def encode_text(self, text: str) -> list[int]:
        """Return the token ids of `text`, which never include a special token."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def encode_prompt(self, prompt: Prompt, *, chat: bool) -> list[int]:
        """Return the token ids of `prompt`, with one placeholder per visual token of every image.

        Args:
            prompt: Texts and images.
            chat: Whether to wrap the prompt as the user turn of a chat, up to where the assistant's answer begins. If
                False, the prompt follows the begin-of-document token as it is.
        """
        if chat:
            return self.encode_conversation([prompt])
        begin: list[Piece] = [] if self.bos_token_id is None else [self.bos_token_id]
        return self._encode_section(Section((*begin, *prompt)))

    def encode_conversation(self, turns: Sequence[Prompt]) -> list[int]:
        """Return the token ids of a conversation, up to where the assistant's next answer begins.

        Args:
            turns: The user's first message, the assistant's answer, the user's next message, and so on; the last one is
                the user's.
        """
        tokens = ChatTokens(
            bos=self.bos_token_id,
            start=self.special_id(self.config.start_token),
            end=self.end_token_id,
            system_prompt=self.config.system_prompt,
        )
        sections = chat_sections(self.config.chat_template, turns, tokens)
        return [token_id for section in sections for token_id in self._encode_section(section)]

    def _encode_section(self, section: Section) -> list[int]:
        """Join adjacent texts and tokenise each joined text; ids stay, and images become placeholders."""
        ids: list[int] = []
        chunk: list[int] = []  # what follows the last image
        text = ""
        num_dropped = 0
        for piece in [*section.pieces, None]:  # the None makes the loop tokenise a text at the end
            if isinstance(piece, str):
                text += piece
                continue
            if text:
                chunk += self.encode_text(text)
                text = ""
            if isinstance(piece, int):
                chunk.append(piece)
                continue
            ids += chunk[num_dropped:]
            if piece is not None:
                ids += [self.image_token_id] * self.config.visual_tokens_per_image
                chunk, num_dropped = [], int(section.drops_after_image)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids` without special tokens."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)

    def pixels(self, images: Sequence[Image.Image]) -> Tensor:
        """Return the normalised pixels of `images`, float32 [N, 3, H, W]; N may be 0.

        Images are converted to RGB and resized to a square with the bicubic filter. Their aspect ratio is not kept.
        """
        size = self.config.image_size
        mean, std = (np.asarray(x, dtype=np.float32) for x in (self.config.image_mean, self.config.image_std))
        pixels_NHWC = np.empty((len(images), size, size, 3), dtype=np.float32)
        for index, image in enumerate(images):
            resized = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
            pixels_NHWC[index] = (np.asarray(resized, dtype=np.float32) / 255 - mean) / std
        return torch.from_numpy(pixels_NHWC).permute(0, 3, 1, 2).contiguous()

    def batch(self, prompts: Sequence[Prompt], *, chat: bool) -> BatchFeature:
        """Return a batch that is padded on the left, as `generate` expects.

        Args:
            prompts: The prompts, each a sequence of texts and images.
            chat: Whether to wrap each prompt as a user turn; see `encode_prompt`.

        Returns:
            `input_ids` int64 [B, T], `attention_mask` int64 [B, T], and `pixel_values` float32 [N, 3, H, W] if there
            are images.
        """
        inputs = _left_pad([self.encode_prompt(prompt, chat=chat) for prompt in prompts], self.pad_token_id)
        images = [piece for prompt in prompts for piece in prompt if not isinstance(piece, str)]
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
        """Return a batch of texts in which each `<image>` mark stands for the next image; see `batch`.

        Args:
            images: One image, or all images of all texts in order.
            text: One text or several.
            chat: Whether to wrap each text as a user turn; see `encode_prompt`.
            **kwargs: Ignored; accepted because transformers' pipelines pass them.

        Raises:
            DataError: If marks and images differ in number.
        """
        texts = [text] if isinstance(text, str) else list(text)
        images = [images] if isinstance(images, Image.Image) else list(images or ())
        num_marks = sum(text.count(IMAGE_MARK) for text in texts)
        if num_marks != len(images):
            raise DataError(
                f"the texts have {num_marks} {IMAGE_MARK} marks, but {len(images)} images were passed",
                hint=f"write one {IMAGE_MARK} mark per image",
            )
        remaining = iter(images)
        return self.batch([_split_marks(text, remaining) for text in texts], chat=chat)


def _left_pad(rows: Sequence[Sequence[int]], pad_id: int) -> dict[str, Tensor]:
    """Return `input_ids` and `attention_mask`, int64 [B, T], with `rows` padded on the left."""
    length = max(len(row) for row in rows)
    input_ids = torch.full((len(rows), length), pad_id, dtype=torch.int64)
    attention_mask = torch.zeros_like(input_ids)
    for index, row in enumerate(rows):
        input_ids[index, length - len(row) :] = torch.tensor(row, dtype=torch.int64)
        attention_mask[index, length - len(row) :] = 1
    return {"input_ids": input_ids, "attention_mask": attention_mask}


def _split_marks(text: str, images: Any) -> list[str | Image.Image]:
    """Replace each mark in `text` by the next of `images`."""
    first, *others = text.split(IMAGE_MARK)
    pieces: list[str | Image.Image] = [first]
    for other in others:
        pieces += [next(images), other]
    return pieces


def _json_bytes(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()
