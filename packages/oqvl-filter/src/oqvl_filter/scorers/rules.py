"""The scorer `rules`: sizes, lengths, and repeated captions and files. No model, and no pixel is decoded."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from oqvl_filter.scorers.scorer import BaseScorerConfig, Row
from oqvl_shards.manifest import FieldSpec
from oqvl_shards.tar.sample import ReadLimits, SampleError

if TYPE_CHECKING:
    from oqvl_filter.pool import PoolSample
    from oqvl_shards.tar.reader import ShardReader

_RULES_VERSION = 1
"""Incremented if a column changes its meaning; scores of two versions have two fingerprints."""


class RulesScorerConfig(BaseScorerConfig):
    """The scorer `rules`: sizes, lengths and exact repetitions; needs no model."""

    name: Literal["rules"] = Field(default="rules", description="which scorer: rules")

    def build(self, limits: ReadLimits) -> RulesScorer:
        """Return the scorer."""
        return RulesScorer(limits)


class RulesScorer:
    """Measures what needs no model; a `Scorer`.

    Args:
        limits: Caps on what is read from a sample.
    """

    name: str = "rules"
    columns: tuple[FieldSpec, ...] = (
        FieldSpec(name="width", dtype="int32", description="width of the upright image in pixels"),
        FieldSpec(name="height", dtype="int32", description="height of the upright image in pixels"),
        FieldSpec(name="aspect", dtype="float32", description="long side over short side"),
        FieldSpec(name="caption_chars", dtype="int32", description="characters of the caption"),
        FieldSpec(name="caption_words", dtype="int32", description="words of the caption, split at whitespace"),
        FieldSpec(
            name="caption_sha",
            dtype="string",
            description="first 32 hex digits of the sha256 of the normalised caption",
        ),
        FieldSpec(name="content_sha", dtype="string", description="sha256 of the image file"),
        FieldSpec(
            name="caption_count", dtype="int64", description="samples of the pool with the same normalised caption"
        ),
        FieldSpec(name="image_count", dtype="int64", description="samples of the pool with the same image file"),
    )
    counted: Mapping[str, str] = {"caption_count": "caption_sha", "image_count": "content_sha"}

    def __init__(self, limits: ReadLimits) -> None:
        self.limits = limits

    def fingerprint(self) -> str:
        """Return a sha256 of the version of the rules and of the caps on what is read."""
        return hashlib.sha256(f"rules {_RULES_VERSION} {self.limits.digest()}".encode()).hexdigest()

    def score_shard(self, reader: ShardReader, samples: Sequence[PoolSample]) -> list[Row | StrEnum]:
        """Return the columns of each of `samples`, or the reason why it has none."""
        return [sample.reject or self._measure(reader, sample) for sample in samples]

    def _measure(self, reader: ShardReader, sample: PoolSample) -> Row | StrEnum:
        """Return the columns of one sample, or why it cannot be read; the image is read up to its header."""
        from oqvl_shards.image import image_size

        try:
            caption = reader.text(sample.sample)
            _, content = reader.image(sample.sample)
            width, height = image_size(content, self.limits)
        except SampleError as error:
            return error.reason
        return {
            "width": width,
            "height": height,
            "aspect": max(width, height) / min(width, height),
            "caption_chars": len(caption),
            "caption_words": len(caption.split()),
            "caption_sha": hashlib.sha256(normalise_caption(caption).encode()).hexdigest()[:32],
            "content_sha": hashlib.sha256(content).hexdigest(),
        }


def normalise_caption(caption: str) -> str:
    """Return `caption` in compatibility form (Unicode NFKC), case-folded, with every run of whitespace as one space."""
    return " ".join(unicodedata.normalize("NFKC", caption).casefold().split())
