"""Answerers for the tests: they look at the pixels, read the options in the prompt, and answer by arithmetic."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 230), "white": (250, 250, 250)}


class ColourAnswerer:
    """Names the colour of the first picture; `blind_to` colours are taken for `red`; dies after `max_calls` calls."""

    def __init__(self, checkpoint: Path, *, blind_to: Sequence[str] = (), max_calls: int | None = None) -> None:
        assert (checkpoint / "config.json").exists()
        self.blind_to = blind_to
        self.max_calls = max_calls
        self.num_calls = 0

    def generate(self, prompts: Sequence[Sequence[str | Image.Image]], *, chat: bool, max_new_tokens: int) -> list[str]:
        self._count()
        return [self._answer(prompt)[:max_new_tokens] for prompt in prompts]

    def choice_logprobs(
        self, prompts: Sequence[Sequence[str | Image.Image]], choices: Sequence[Sequence[str]], *, chat: bool
    ) -> list[list[tuple[float, int]]]:
        self._count()
        return [self._likelihoods(prompt, texts) for prompt, texts in zip(prompts, choices, strict=True)]

    def _count(self) -> None:
        self.num_calls += 1
        if self.max_calls is not None and self.num_calls > self.max_calls:
            raise KeyboardInterrupt

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
