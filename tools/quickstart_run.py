"""One run of the quickstart: its directory, its scale, and the time and the report of every step."""

from __future__ import annotations

import json
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from oqvl_shards.atomic import atomic_write
from oqvl_shards.config import StageConfig

RECIPES = Path(__file__).resolve().parent.parent / "recipes" / "quickstart"


class Scale(StrEnum):
    """The amount of data and training."""

    CI = "ci"
    DEFAULT = "default"


@dataclass(frozen=True)
class Step:
    """One stage that ran, and the command that does the same."""

    title: str
    command: str
    seconds: float


@dataclass
class Run:
    """One quickstart: its directory, its scale, and the time, configuration and report of every step."""

    directory: Path
    scale: Scale
    steps: list[Step] = field(default_factory=list)
    configs: dict[str, Any] = field(default_factory=dict)
    reports: dict[str, Any] = field(default_factory=dict)

    def overrides(self, recipe: str) -> list[str]:
        """Return the changes of this scale to a recipe, as `key=value`."""
        if self.scale is Scale.DEFAULT:
            return []
        return tomllib.loads((RECIPES / "scale-ci.toml").read_text()).get(recipe, [])

    def stage(
        self, title: str, command: str, recipe: str, config: type[StageConfig], run: Callable[[Any], Any]
    ) -> None:
        """Run one stage from its recipe. Keep its report, its time, and the command that does the same."""
        overrides = self.overrides(recipe)
        local = Path("recipes") / f"{recipe}.toml"
        shown = " ".join([command, "-c", str(local), *(f"'{override}'" for override in overrides)])
        print(f"[{len(self.steps) + 1:2d}] {title}: {shown}", file=sys.stderr, flush=True)
        started = time.perf_counter()
        self.configs[recipe] = config.from_toml(local, overrides)
        self.reports[recipe] = run(self.configs[recipe])
        self.steps.append(Step(title, shown, self.remember_seconds(recipe, time.perf_counter() - started)))

    def remember_seconds(self, recipe: str, seconds: float) -> float:
        """Return the time of the stage's first complete run. A rerun that reuses the output takes almost no time."""
        path = Path("seconds.json")
        known = json.loads(path.read_text()) if path.exists() else {}
        if recipe not in known:
            known[recipe] = round(seconds, 2)
            atomic_write(path, json.dumps(known, indent=1).encode())
        return known[recipe]
