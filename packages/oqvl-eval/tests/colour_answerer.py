"""Answerers for the tests: they look at the pixels, read the options in the prompt, and answer by arithmetic."""

from __future__ import annotations

import math
import os
import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

COLOURS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 230), "white": (250, 250, 250)}


class ColourAnswerer:
    """Names the colour of the first picture. It sees the colours in `blind_to` as red."""

    calls_left: ClassVar[float] = math.inf  # a test sets it to kill the process in the middle
    num_prompts: ClassVar[int] = 0

    def __init__(self, checkpoint: Path, *, blind_to: Sequence[str] = ()) -> None:
        assert (checkpoint / "config.json").exists()
        self.blind_to = blind_to

    def generate(self, prompts: Sequence[Sequence[str | Image.Image]], *, chat: bool, max_new_tokens: int) -> list[str]:
        self._count(len(prompts))
        return [self._answer(prompt)[:max_new_tokens] for prompt in prompts]

    def choice_logprobs(
        self, prompts: Sequence[Sequence[str | Image.Image]], choices: Sequence[Sequence[str]], *, chat: bool
    ) -> list[list[tuple[float, int]]]:
        self._count(len(prompts))
        return [self._likelihoods(prompt, texts) for prompt, texts in zip(prompts, choices, strict=True)]

    def _count(self, num_prompts: int) -> None:
        cls = type(self)
        cls.num_prompts += num_prompts
        cls.calls_left -= 1
        if cls.calls_left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def _answer(self, prompt: Sequence[str | Image.Image]) -> str:
        colour, text = self._colour(prompt), _text(prompt)
        letters = {option: letter for letter, option in re.findall(r"^([A-Z])\. (.*)$", text, flags=re.MULTILINE)}
        return f" {letters[colour]}" if colour in letters else colour

    def _likelihoods(self, prompt: Sequence[str | Image.Image], texts: Sequence[str]) -> list[tuple[float, int]]:
        answer, colour = self._answer(prompt), self._colour(prompt)
        right = {answer, answer.strip(), colour, f" {colour}"}
        return [(math.log(0.4 if text in right else 0.05), len(text.strip())) for text in texts]

    def _colour(self, prompt: Sequence[str | Image.Image]) -> str:
        image = next(piece for piece in prompt if not isinstance(piece, str))
        pixel = np.asarray(image, dtype=np.float64).mean(axis=(0, 1))
        colour = min(COLOURS, key=lambda name: float(np.abs(pixel - np.array(COLOURS[name])).sum()))
        return "red" if colour in self.blind_to else colour


class HalfAnswerer:
    """Not an answerer: it cannot score choices."""

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint

    def generate(self, prompts: Sequence[object], *, chat: bool, max_new_tokens: int) -> list[str]:
        return [""] * len(prompts)


def _text(prompt: Sequence[str | Image.Image]) -> str:
    return "".join(piece for piece in prompt if isinstance(piece, str))


class YesWhenRed(ColourAnswerer):
    """Says yes to whatever is red."""

    def _answer(self, prompt: Sequence[str | Image.Image]) -> str:
        return "Yes." if self._colour(prompt) == "red" else "No."


class AlwaysA(ColourAnswerer):
    """Has a favourite letter."""

    def _answer(self, prompt: Sequence[str | Image.Image]) -> str:
        return "A"
