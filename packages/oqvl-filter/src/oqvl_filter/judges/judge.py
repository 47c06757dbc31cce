"""What a judge is: a vision-language model that answers prompts about images, wherever it runs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from PIL import Image

from oqvl_shards.errors import ConfigError


class JudgeReason(StrEnum):
    """Why a judge gives a sample no scores."""

    UNREADABLE_ANSWER = "unreadable_answer"
    """No answer holds a score."""
    REFUSED = "refused"
    """The endpoint refuses the request for what is in it."""


@dataclass(frozen=True)
class Answer:
    """What a judge says to one prompt.

    Args:
        text: What it wrote.
        is_whole: Whether it had finished; false when the limit on new tokens cut it off.
        first_tokens: Probabilities of tokens that could have come first, by their text. It may hold the likely ones or
            the numbers alone; empty when the judge cannot tell.
        refusal: Why there is no answer; None when there is one.
    """

    text: str
    is_whole: bool = True
    first_tokens: Mapping[str, float] = field(default_factory=dict)
    refusal: JudgeReason | None = None


class VisionJudge(Protocol):
    """Answers several prompts about each of several images; decoding is greedy."""

    def fingerprint(self) -> str:
        """Return a sha256 of all that decides the answers: weights, pre-processing, chat template, number format.

        It is asked for before any image, and need not load the model.
        """
        ...

    def answer(
        self, images: Sequence[Image.Image], prompts: Sequence[Sequence[str]], max_new_tokens: int
    ) -> list[list[Answer]]:
        """Return one answer [B][P] a prompt.

        Args:
            images: [B] in RGB.
            prompts: [B][P] the prompts about each image; P is the same for all, so that one vision pass can do for all.
            max_new_tokens: Tokens that an answer has at most.
        """
        ...


def make_judge(path: str, options: Mapping[str, Any]) -> VisionJudge:
    """Call the factory of a judge at the dotted path `package.module:factory` with `options`.

    Raises:
        ConfigError: When there is no such factory, or it does not take the options.
    """
    return make_bound("scorer.judge", path, options, "scorer.options")


def make_bound(key: str, path: str, options: Mapping[str, Any], options_key: str = "") -> Any:
    """Call the factory that a configuration binds under `key` as `package.module:factory`.

    Args:
        key: Where the path stands.
        path: Dotted path of the factory.
        options: What it is called with.
        options_key: Where these stand; `{key}_options` by default.

    Raises:
        ConfigError: When there is no such factory, or it does not take the options.
    """
    module, _, name = path.partition(":")
    try:
        factory = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{key}={path!r} cannot be imported: {error}",
            hint="give it as package.module:factory, of a module that is installed or on PYTHONPATH",
        ) from error
    try:
        return factory(**options)
    except TypeError as error:
        raise ConfigError(
            f"{key}={path!r} does not take the options {sorted(options)}: {error}",
            hint=f"each is given as {options_key or f'{key}_options'}.NAME=VALUE",
        ) from error
