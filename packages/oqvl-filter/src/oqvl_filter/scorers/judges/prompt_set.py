"""Prompt sets: what a judge is asked, one prompt per metric, in a TOML file.

    name = "general"
    max_score = 100
    [prompts]
    itm = "... {caption} ..."

`{caption}` stands for the caption; no other brace has a meaning. A score is a whole number from 0 to `max_score` and is
stored on the scale from 0 to 100. With `max_score = 9` every score is a single token of every tokenizer, as an expected
value over the first token's probabilities requires.
"""

from __future__ import annotations

import json
import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, field_validator

from oqvl_shards.atomic import atomic_write
from oqvl_shards.config import StageConfig
from oqvl_shards.errors import ConfigError

PLACEHOLDER = "{caption}"
_METRIC = re.compile(r"[a-z][a-z0-9_]*")


class PromptSet(StageConfig):
    """What a judge is asked about every pair."""

    name: str = Field(min_length=1, description="name of the set")
    max_score: int = Field(default=100, ge=1, le=100, description="highest score that the prompts mention")
    prompts: dict[str, str] = Field(min_length=1, description="the prompt of each metric, with {caption} in it")

    @field_validator("prompts")
    @classmethod
    def _ask_about_the_caption(cls, prompts: dict[str, str]) -> dict[str, str]:
        for metric, prompt in prompts.items():
            if not _METRIC.fullmatch(metric):
                raise ValueError(f"found the metric {metric!r}, expected lower-case letters, digits and underscores")
            if PLACEHOLDER not in prompt:
                raise ValueError(f"the prompt of {metric} has no {PLACEHOLDER}")
        return prompts

    @classmethod
    def load(cls, source: str) -> Self:
        """Return the shipped set of that name, or the one in the file at that path.

        Raises:
            ConfigError: If there is none, or it is not a prompt set.
        """
        shipped = files("oqvl_filter.scorers.judges").joinpath("prompts", f"{source}.toml")
        is_shipped = _METRIC.fullmatch(source) is not None and shipped.is_file()
        try:
            text = shipped.read_text("utf-8") if is_shipped else Path(source).read_text("utf-8")
            return cls.model_validate(tomllib.loads(text))
        except FileNotFoundError as error:
            raise ConfigError(
                f"there is no prompt set {source!r}", hint="give general, digit, or the path of a TOML file"
            ) from error
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
            raise ConfigError(
                f"{source} is not a prompt set: {error}", hint="see oqvl_filter.scorers.judges.prompt_set"
            ) from error

    def ask(self, metric: str, caption: str) -> str:
        """Return the prompt of `metric` about `caption`."""
        return self.prompts[metric].replace(PLACEHOLDER, caption)


def write_prompt_set(prompts: PromptSet, path: Path) -> None:
    """Write `prompts` as the TOML file that `PromptSet.load` reads."""

    def quoted(text: str) -> str:
        # JSON escapes as TOML does, except for DEL, which only TOML escapes.
        return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

    lines = [f"name = {quoted(prompts.name)}", f"max_score = {prompts.max_score}", "", "[prompts]"]
    lines += [f"{metric} = {quoted(prompt)}" for metric, prompt in prompts.prompts.items()]
    atomic_write(path, ("\n".join(lines) + "\n").encode())
