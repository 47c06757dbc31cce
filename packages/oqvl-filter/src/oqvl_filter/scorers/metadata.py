"""The scorer `metadata`: which entries of a list each caption contains, for MetaCLIP's balancing.

An entry is one or several words. A caption contains it if these words follow each other in the caption. Words are runs
of letters, digits, marks and apostrophes after Unicode NFKC and case folding, which makes this the substring match of
Xu et al., 2023 (arXiv 2309.16671), who put spaces around words.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from oqvl_filter.scorers.scorer import BaseScorerConfig, Row
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import FieldSpec
from oqvl_shards.tar.sample import ReadLimits, SampleError

if TYPE_CHECKING:
    from oqvl_filter.pool import PoolSample
    from oqvl_shards.tar.reader import ShardReader

_MATCH_VERSION = 1
"""Incremented if a caption matches other entries than before."""

_WORD = re.compile(r"[\w']+")


class MetadataScorerConfig(BaseScorerConfig):
    """The scorer `metadata`: which entries of a list each caption contains, for `select balance.column=...`."""

    name: Literal["metadata"] = Field(description="which scorer: metadata")
    entries: Path = Field(
        description="the list: a .json array of strings, or a text file with one entry per line",
        json_schema_extra={"lineage": False},
    )

    def build(self, limits: ReadLimits) -> MetadataScorer:
        """Return the scorer.

        Raises:
            ConfigError: If the list cannot be read.
        """
        return MetadataScorer(read_entries(self.entries), limits)


class MetadataScorer:
    """Matches captions against a list of metadata; a `Scorer`.

    Args:
        entries: The list; an entry's number is its index, 0-based.
        limits: Caps on what is read from a sample.
    """

    name: str = "metadata"
    columns: tuple[FieldSpec, ...] = (
        FieldSpec(name="entries", dtype="string", description="numbers of the entries in the caption, spaces between"),
        FieldSpec(name="num_entries", dtype="int32", description="entries of the list that the caption holds"),
    )
    counted: Mapping[str, str] = {}

    def __init__(self, entries: Sequence[str], limits: ReadLimits) -> None:
        self.limits = limits
        self.matcher = EntryMatcher(entries)

    def fingerprint(self) -> str:
        """Return a sha256 of the list, of the version of the match and of the caps on what is read."""
        known = f"metadata {_MATCH_VERSION} {self.limits.digest()} {self.matcher.digest}"
        return hashlib.sha256(known.encode()).hexdigest()

    def score_shard(self, reader: ShardReader, samples: Sequence[PoolSample]) -> list[Row | StrEnum]:
        """Return the entries in the caption of each of `samples`, or the reason why it has no scores."""
        return [sample.reject or self._match(reader, sample) for sample in samples]

    def _match(self, reader: ShardReader, sample: PoolSample) -> Row | StrEnum:
        try:
            numbers = self.matcher.match(reader.text(sample.sample))
        except SampleError as error:
            return error.reason
        return {"entries": " ".join(map(str, numbers)), "num_entries": len(numbers)}


class EntryMatcher:
    """Finds the entries of a list in a text by looking up its runs of words.

    Args:
        entries: The list; of entries with the same words only the first one counts.
    """

    def __init__(self, entries: Sequence[str]) -> None:
        self.digest = hashlib.sha256(json.dumps(list(entries)).encode()).hexdigest()
        self._numbers: dict[tuple[str, ...], int] = {}
        lengths: dict[str, set[int]] = {}
        for number, entry in enumerate(entries):
            if key := tuple(words(entry)):
                self._numbers.setdefault(key, number)
                lengths.setdefault(key[0], set()).add(len(key))
        # The possible lengths of entries by their first word; most words start few entries.
        self._lengths = {word: tuple(sorted(possible)) for word, possible in lengths.items()}

    def match(self, text: str) -> list[int]:
        """Return the numbers of the entries in `text`, distinct and ascending."""
        text_words = words(text)
        return sorted(
            {
                number
                for start, word in enumerate(text_words)
                for length in self._lengths.get(word, ())
                if (number := self._numbers.get(tuple(text_words[start : start + length]))) is not None
            }
        )


def words(text: str) -> list[str]:
    """Return the words of `text`, case-folded."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def read_entries(path: Path) -> list[str]:
    """Read a list of metadata: a JSON array of strings (`.json`), or text with one entry per line.

    Raises:
        ConfigError: If the file is neither.
    """
    try:
        text = path.read_text(encoding="utf-8")
        entries = json.loads(text) if path.suffix == ".json" else [line for line in text.splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ConfigError(
            f"{path} is not a readable list of metadata: {error}", hint="check scorer.entries="
        ) from error
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, str) for entry in entries):
        raise ConfigError(
            f"{path}: found no list of strings",
            hint="expected a JSON array of strings, or text with one entry per line",
        )
    return entries
