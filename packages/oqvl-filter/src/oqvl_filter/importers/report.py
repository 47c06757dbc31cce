"""What `import prompts` returns; the other imports return the reports of the datasets that they write."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from oqvl_shards.config import Frozen


class PromptsReport(Frozen):
    """A prompt set that was read from an MLM-Filter checkout."""

    path: Path = Field(description="the TOML file")
    name: str = Field(description="name of the prompt set")
    prompts: dict[str, str] = Field(description="the prompt of each metric")

    def table(self) -> str:
        """Return the report as text."""
        lines = [f"  {metric:<6}    {len(prompt):,} characters" for metric, prompt in self.prompts.items()]
        return "\n".join([f"{self.name} ({self.path})", *lines])
