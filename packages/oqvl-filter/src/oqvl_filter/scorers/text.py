"""The scorer `text`: what a caption is, apart from its image: its language, what it names, whether it says anything.

Together with columns of `rules` and `clip` these make DataComp's text rules (Gadre et al., 2023, arXiv 2304.14108):
*basic* is `text.language == "en"`, more than 2 words and more than 5 characters, plus the picture's size; *laion2b* is
English with a CLIP score of at least 0.28; *text_based* is English with `text.thing_words` above 0.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from oqvl_filter.scorers.language import LanguageIdentifier
from oqvl_filter.scorers.scorer import BaseScorerConfig, Row
from oqvl_filter.scorers.vocabulary import ThingWords
from oqvl_shards.binding import bind
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import FieldSpec
from oqvl_shards.tar.sample import ReadLimits

if TYPE_CHECKING:
    from oqvl_filter.pool import PoolSample
    from oqvl_shards.tar.reader import ShardReader

_TEXT_VERSION = 1
"""Incremented if a column changes its meaning; scores of two versions have two fingerprints."""


class TextScorerConfig(BaseScorerConfig):
    """The scorer `text`: the language of a caption, and what its words are. No image is read."""

    name: Literal["text"] = Field(description="which scorer: text")
    # Where the files are does not decide the scores; the fingerprint records what they hold.
    language: str = Field(
        default="",
        description="dotted path of the factory of a language identifier, "
        "e.g. oqvl_filter.scorers.language:FasttextIdentifier",
        json_schema_extra={"lineage": False},
    )
    language_options: dict[str, Any] = Field(
        default_factory=dict,
        description="keyword arguments of that factory, e.g. scorer.language_options.model=lid.176.bin",
        json_schema_extra={"lineage": False},
    )
    wordnet: Path | None = Field(
        default=None, description="folder of WordNet's index.noun and noun.exc", json_schema_extra={"lineage": False}
    )
    synsets: Path | None = Field(
        default=None,
        description="text file of noun synsets, one n######## per line, e.g. those of ImageNet-21k",
        json_schema_extra={"lineage": False},
    )
    boilerplate: Path | None = Field(
        default=None,
        description="text file of regular expressions, one per line; unset: the shipped ones",
        json_schema_extra={"lineage": False},
    )

    @model_validator(mode="after")
    def _has_both_word_lists(self) -> Self:
        if (self.wordnet is None) != (self.synsets is None):
            raise ValueError("wordnet and synsets belong together: give both or none")
        return self

    def build(self, limits: ReadLimits) -> TextScorer:
        """Return the scorer.

        Raises:
            MissingExtraError: If the language identifier's extra is not installed.
            ConfigError: If a file is missing or unreadable.
        """
        return TextScorer(self, limits)


class TextScorer:
    """Describes captions; a `Scorer`. Columns whose files are not given are left out.

    Args:
        config: Language identifier, word lists, boilerplate.
        limits: Caps on what is read from a sample.

    Raises:
        MissingExtraError: If the language identifier's extra is not installed.
        ConfigError: If a file is missing or unreadable.
    """

    name: str = "text"
    counted: Mapping[str, str] = {}

    def __init__(self, config: TextScorerConfig, limits: ReadLimits) -> None:
        self.limits = limits
        self._patterns, self._patterns_digest = read_patterns(config.boilerplate)
        self._identifier: LanguageIdentifier | None = None
        if config.language:
            self._identifier = bind(
                config.language, LanguageIdentifier, key="scorer.language", options=config.language_options
            )
        self._things: ThingWords | None = None
        if config.wordnet is not None and config.synsets is not None:
            self._things = ThingWords(config.wordnet, config.synsets)
        self.columns: tuple[FieldSpec, ...] = tuple(self._columns())

    def fingerprint(self) -> str:
        """Return a sha256 of the rules' version, the files and the caps on what is read."""
        settings = [
            _TEXT_VERSION,
            self.limits.digest(),
            self._patterns_digest,
            self._identifier and self._identifier.fingerprint(),
            self._things and self._things.fingerprint(),
        ]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()

    def score_shard(self, reader: ShardReader, samples: Sequence[PoolSample]) -> list[Row | StrEnum]:
        """Return the columns of each of `samples`, or the reason why it has none."""
        from oqvl_filter.pool import read_captions

        results: list[Any] = [sample.reject for sample in samples]
        captions = read_captions(reader, samples, results)
        for index, caption in captions.items():
            results[index] = self._describe(caption)
        if self._identifier is not None:
            languages = self._identifier.identify(list(captions.values()))
            for index, (language, probability) in zip(captions, languages, strict=True):
                results[index] |= {"language": language or None, "language_probability": probability}
        return results

    def _columns(self) -> list[FieldSpec]:
        """Return the columns; those whose files are not given are left out."""
        columns = [
            FieldSpec(name="chars", dtype="int32", description="characters of the caption"),
            FieldSpec(name="words", dtype="int32", description="words of the caption, split at whitespace"),
            FieldSpec(name="letter_share", dtype="float32", description="letters among its characters, 0 to 1"),
            FieldSpec(name="boilerplate", dtype="bool", description="whether it says nothing about any image"),
        ]
        if self._identifier is not None:
            columns += [
                FieldSpec(name="language", dtype="string", description="code of the likeliest language, e.g. en"),
                FieldSpec(name="language_probability", dtype="float32", description="probability of that language"),
            ]
        if self._things is not None:
            columns.append(FieldSpec(name="thing_words", dtype="int32", description="words that name a given synset"))
        return columns

    def _describe(self, caption: str) -> dict[str, Any]:
        words = caption.split()
        text = " ".join(words)
        row: dict[str, Any] = {
            "chars": len(caption),
            "words": len(words),
            "letter_share": sum(map(str.isalpha, caption)) / max(len(caption), 1),
            "boilerplate": any(pattern.fullmatch(text) for pattern in self._patterns),
        }
        if self._things is not None:
            row["thing_words"] = self._things.count(caption)
        return row


def read_patterns(path: Path | None) -> tuple[list[re.Pattern[str]], str]:
    """Return the regular expressions of a file, one per line, and a sha256 of the file.

    Args:
        path: The file; None for the shipped one.

    Raises:
        ConfigError: If the file cannot be read, or a line is not a regular expression.
    """
    try:
        text = (
            files("oqvl_filter.scorers").joinpath("boilerplate.txt").read_text("utf-8")
            if path is None
            else path.read_text("utf-8")
        )
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", hint="check scorer.boilerplate=") from error
    patterns = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            try:
                patterns.append(re.compile(line, re.IGNORECASE))
            except re.error as error:
                raise ConfigError(
                    f"{path or 'boilerplate.txt'}:{number} is not a regular expression: {error}"
                ) from error
    return patterns, hashlib.sha256(text.encode()).hexdigest()
