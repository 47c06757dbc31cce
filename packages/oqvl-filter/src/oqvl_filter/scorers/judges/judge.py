"""What a judge is: a vision-language model that answers prompts about images, wherever it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from PIL import Image


class JudgeReason(StrEnum):
    """Why a judge gives a sample no scores."""

    UNREADABLE_ANSWER = "unreadable_answer"
    """No answer holds a score."""
    REFUSED = "refused"
    """The endpoint refuses the content of the request."""


@dataclass(frozen=True)
class Answer:
    """A judge's answer to one prompt.

    Args:
        text: What it wrote.
        is_whole: Whether it had finished; false if the limit on new tokens cut it off.
        first_tokens: Probabilities of tokens that could have come first, by their text. It may hold only the likely
            tokens, or only the numbers; empty if the judge cannot tell.
        refusal: Why there is no answer; None if there is one.
    """

    text: str
    is_whole: bool = True
    first_tokens: Mapping[str, float] = field(default_factory=dict)
    refusal: JudgeReason | None = None


class VisionJudge(Protocol):
    """Answers several prompts about each of several images; decoding is greedy."""

    def fingerprint(self) -> str:
        """Return a sha256 of everything that decides the answers: weights, pre-processing, chat template, precision.

        It is called before any image is seen, and need not load the model.
        """
        ...

    def answer(
        self, images: Sequence[Image.Image], prompts: Sequence[Sequence[str]], max_new_tokens: int
    ) -> list[list[Answer]]:
        """Return one answer [B][P] per prompt.

        Args:
            images: [B] in RGB.
            prompts: [B][P] the prompts about each image; P is the same for all, so that one vision pass serves all.
            max_new_tokens: Maximum length of an answer in tokens.
        """
        ...
