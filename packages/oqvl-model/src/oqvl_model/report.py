"""The reports of the commands. A report prints as a table or as JSON."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pydantic import Field

from oqvl_shards.config import Frozen


class InitReport(Frozen):
    """Result of `oqvl-model init`."""

    output: Path = Field(description="model directory that was written")
    digest: str = Field(description="digest of its manifest, 64 hex digits")
    num_parameters: int = Field(description="number of parameters, including the tower's")
    num_bytes: int = Field(description="size of all files in bytes")

    def table(self) -> str:
        """Return the report for people."""
        return "\n".join(
            [
                f"{self.output}",
                f"  parameters  {self.num_parameters:>15,}",
                f"  bytes       {self.num_bytes:>15,}",
                f"  digest      {self.digest}",
            ]
        )


class ConvertReport(Frozen):
    """Result of `oqvl-model convert`. The model directory keeps it as `conversion.json`."""

    output: Path | None = Field(default=None, description="model directory that was written")
    digest: str = Field(default="", description="digest of its manifest, 64 hex digits")
    layout: str = Field(description="layout of the source")
    architecture: str = Field(description="model class, as in config.json")
    num_parameters: int = Field(description="number of parameters, including the tower's")
    num_bytes: int = Field(default=0, description="size of all files in bytes")
    mapped: dict[str, tuple[str, ...]] = Field(
        description="names of the weights that each used key of the source gives"
    )
    unused: dict[str, str] = Field(description="reason for each key of the source that is left out")
    missing: tuple[str, ...] = Field(default=(), description="weights without a key: none, or the conversion fails")
    notes: tuple[str, ...] = Field(default=(), description="facts of the source that matter when the model is used")

    def table(self) -> str:
        """Return the report for people; keys that are left out are counted by reason."""
        reasons = Counter(self.unused.values())
        lines = [
            f"{self.output}",
            f"  layout      {self.layout}",
            f"  parameters  {self.num_parameters:>15,}",
            f"  bytes       {self.num_bytes:>15,}",
            f"  mapped      {len(self.mapped):>15,} keys, to {sum(map(len, self.mapped.values())):,} weights",
            f"  left out    {len(self.unused):>15,} keys",
            *(f"              {count:>15,} {reason}" for reason, count in sorted(reasons.items())),
            f"  missing     {len(self.missing):>15,} weights",
            *(f"  note        {note}" for note in self.notes),
            f"  digest      {self.digest}",
        ]
        return "\n".join(lines)


class PartReport(Frozen):
    """The size of one part of a model."""

    name: str = Field(description="vision, projector or text")
    num_parameters: int = Field(description="number of parameters")
    share: float = Field(description="share of all parameters, 0 to 1")


class ShowReport(Frozen):
    """Result of `oqvl-model show`."""

    checkpoint: Path = Field(description="model directory")
    parts: tuple[PartReport, ...] = Field(description="size of each part")
    num_parameters: int = Field(description="number of parameters of all parts")
    image_size: int = Field(description="side of the square input image in pixels")
    grid_size: int = Field(description="features along one side of the tower's map")
    visual_tokens_per_image: int = Field(description="visual tokens per image")
    vocab_size: int = Field(description="rows of the embedding")
    context_length: int = Field(description="length of the longest document in tokens")
    vision_gflops_per_image: float = Field(description="GFLOP per image of the frozen tower, forward")
    training_gflops_per_token: float = Field(
        description="GFLOP per token to train projector and text, forward and backward, on a document with one image"
    )
    document_tokens: int = Field(description="length of that document in tokens")

    def table(self) -> str:
        """Return the report for people."""
        lines = [f"{self.checkpoint}"]
        lines += [f"  {part.name:<10} {part.num_parameters:>15,} parameters  {part.share:7.2%}" for part in self.parts]
        lines += [
            f"  {'all':<10} {self.num_parameters:>15,} parameters",
            f"  an image of {self.image_size} x {self.image_size} pixels gives {self.grid_size} x {self.grid_size} "
            f"features, pooled to {self.visual_tokens_per_image} visual tokens "
            f"({self.vision_gflops_per_image:.4g} GFLOP)",
            f"  {self.vocab_size:,} token ids, documents of up to {self.context_length:,} tokens",
            f"  training takes {self.training_gflops_per_token:.4g} GFLOP per token (one image and its caption, "
            f"{self.document_tokens} tokens)",
        ]
        return "\n".join(lines)


class GenerateReport(Frozen):
    """Result of `oqvl-model generate`."""

    answer: str = Field(description="the model's answer")

    def table(self) -> str:
        """Return the answer."""
        return self.answer
