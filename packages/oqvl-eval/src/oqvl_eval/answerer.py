"""The model's side of an evaluation: a Protocol, bound by a dotted path in the configuration."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from PIL import Image

from oqvl_shards.errors import ConfigError

Prompt = Sequence[str | Image.Image]
"""Text and RGB pictures in the order in which the model is to see them."""


@runtime_checkable
class Answerer(Protocol):
    """What an evaluation asks of a model.

    Answers must be deterministic (greedy decoding), and must not depend on the other prompts of the call beyond
    floating-point rounding.
    """

    def generate(self, prompts: Sequence[Prompt], *, chat: bool, max_new_tokens: int) -> list[str]:
        """Return the continuation of each prompt, without the prompt and without special tokens.

        Args:
            prompts: The prompts.
            chat: Whether to wrap each prompt as a user's turn of the model's chat template.
            max_new_tokens: Tokens to generate at most.
        """
        ...

    def choice_logprobs(
        self, prompts: Sequence[Prompt], choices: Sequence[Sequence[str]], *, chat: bool
    ) -> list[list[tuple[float, int]]]:
        """Return, for each prompt and each of its `choices`, the choice's log-probability as a continuation.

        Returns:
            (sum of the natural-log probabilities of the choice's tokens, number of those tokens), in the order of
            `choices`.
        """
        ...


def bind_answerer(dotted_path: str, checkpoint: Path, options: Mapping[str, Any]) -> Answerer:
    """Import the factory at `dotted_path` and call it as `factory(checkpoint, **options)`.

    Args:
        dotted_path: `module:attribute`, e.g. `oqvl_model.answerer:VlmAnswerer`.
        checkpoint: The model's directory.
        options: Further keyword arguments of the factory.

    Raises:
        ConfigError: When the path cannot be imported, the options do not fit, or the result is not an `Answerer`.
    """
    module_name, separator, attribute = dotted_path.partition(":")
    if not separator or not module_name or not attribute:
        raise ConfigError(
            f"answerer {dotted_path!r} is not a dotted path",
            hint="write module:attribute, e.g. oqvl_model.answerer:VlmAnswerer",
        )
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(
            f"answerer {dotted_path!r}: the module cannot be imported: {error}",
            hint="install the package that offers it, or put its folder on PYTHONPATH",
        ) from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        raise ConfigError(f"answerer {dotted_path!r}: {module_name} has no callable {attribute!r}")
    _check_options(factory, dotted_path, checkpoint, options)
    answerer = factory(checkpoint, **options)
    if not isinstance(answerer, Answerer):
        raise ConfigError(
            f"answerer {dotted_path!r} made a {type(answerer).__name__}, which lacks generate or choice_logprobs",
            hint="see oqvl_eval.answerer.Answerer for the two methods",
        )
    return answerer


def _check_options(factory: Any, dotted_path: str, checkpoint: Path, options: Mapping[str, Any]) -> None:
    try:
        inspect.signature(factory).bind(checkpoint, **options)
    except TypeError as error:
        raise ConfigError(
            f"answerer {dotted_path!r} does not take the options {sorted(options)}: {error}",
            hint="answerer_options are the factory's keyword arguments",
        ) from error
