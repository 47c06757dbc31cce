"""The protocol that a model must implement to be evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from PIL import Image

Prompt = Sequence[str | Image.Image]
"""Text and RGB pictures in the order in which the model sees them."""


@runtime_checkable
class Answerer(Protocol):
    """A model that an evaluation can ask.

    Answers must be deterministic (greedy decoding). Apart from floating-point rounding, they must not depend on the
    other prompts of the call.

    `answerer` in the configuration names a factory, which is called as `factory(checkpoint, **answerer_options)`.
    """

    def generate(self, prompts: Sequence[Prompt], *, chat: bool, max_new_tokens: int) -> list[str]:
        """Return the continuation of each prompt, without the prompt and without special tokens.

        Args:
            prompts: The prompts, each a sequence of texts and pictures.
            chat: Whether to wrap each prompt as a user turn of the model's chat template.
            max_new_tokens: Maximum number of tokens to generate per prompt.
        """
        ...

    def choice_logprobs(
        self, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]], *, chat: bool
    ) -> list[list[tuple[float, int]]]:
        """Return how likely each choice is as the continuation of its prompt.

        Args:
            prompts: The prompts, each a sequence of texts and pictures.
            choices: The continuations to score, one list per prompt.
            chat: Whether to wrap each prompt as a user turn of the model's chat template.

        Returns:
            For each choice of each prompt, the sum of its tokens' natural-log probabilities and the number of tokens.
        """
        ...
