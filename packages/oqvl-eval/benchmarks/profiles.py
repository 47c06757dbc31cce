"""Measure how long it takes to score a million stored outputs to multiple-choice questions under five profiles.

    python packages/oqvl-eval/benchmarks/profiles.py --json packages/oqvl-eval/benchmarks/profiles_2core_202611.json

The outputs are 100 made runs over 10,000 questions of four options: bare letters, declared letters, texts of options,
explanations of some 300 characters that never repeat, and refusals. Every run is judged and reported like a dataset of
its own, on one core; reading the files is not measured. CPU time depends little on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from oqvl_eval import Item
from oqvl_eval.aggregate import Accuracy, reading_counts
from oqvl_eval.config import Profile
from oqvl_eval.predictions import Prediction
from oqvl_eval.scoring import judge_all
from oqvl_eval.scoring_rules.registry import find_rules

TASK = "seedbench"
PROFILES: tuple[Profile, ...] = ("strict", "official", "lmms", "vlmevalkit", "paper")
FORMS = {"letter": 0.7, "declaration": 0.14, "text": 0.1, "explanation": 0.05, "refusal": 0.01}
"""The share of each form of an output."""

_WORDS = "the dog near river stands brown grass picture shows two people behind house tall window light".split()


def questions(count: int) -> list[Item]:
    """Return made questions of four options each."""
    draw = random.Random(0)
    return [
        Item(
            item_id=f"q{number}",
            cluster_id=f"q{number}",
            segments=("?",),
            choices=tuple(f"{word} {number}" for word in draw.sample(_WORDS, 4)),
            answer=draw.choice("ABCD"),
        )
        for number in range(count)
    ]


def answer(item: Item, draw: random.Random) -> str:
    """Return a made output."""
    letter = draw.choice("ABCD")
    (form,) = draw.choices(list(FORMS), weights=list(FORMS.values()))
    if form == "letter":
        return letter
    if form == "declaration":
        return f"The answer is {letter}."
    if form == "text":
        return item.choices["ABCD".index(letter)]
    if form == "refusal":
        return "I cannot tell from the picture."
    return f"{' '.join(draw.choices(_WORDS, k=50))}. So the answer is ({letter})."


def runs(items: Sequence[Item], count: int) -> Iterator[list[Prediction]]:
    """Yield the predictions of each run."""
    for number in range(count):
        draw = random.Random(number)
        yield [Prediction(item, answer(item, draw), (), "") for item in items]


def measure(num_questions: int, num_runs: int) -> dict[str, dict[str, float]]:
    """Return CPU and wall seconds, and the accuracy, of scoring all runs under each profile."""
    items = questions(num_questions)
    seconds = {profile: {"cpu_seconds": 0.0, "wall_seconds": 0.0, "accuracy": 0.0} for profile in PROFILES}
    for predictions in runs(items, num_runs):
        for profile, figures in seconds.items():
            cpu, wall = time.process_time(), time.perf_counter()
            rules = find_rules(profile, TASK, {"multiple_choice"})
            verdicts = judge_all(predictions, rules)
            rules.together.aggregate(verdicts)
            accuracy = Accuracy.of((verdict.credit for verdict in verdicts), 0.95).accuracy
            reading_counts(verdicts)
            figures["cpu_seconds"] += time.process_time() - cpu
            figures["wall_seconds"] += time.perf_counter() - wall
            figures["accuracy"] += accuracy / num_runs
    return {profile: {name: round(value, 4) for name, value in row.items()} for profile, row in seconds.items()}


def main() -> None:
    """Run the benchmark and print or write its figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    profiles = measure(options.questions, options.runs)
    report: dict[str, Any] = {
        "benchmark": "profiles",
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": {"cpu": _cpu(), "num_cores": os.cpu_count(), "load_average": round(load, 1)},
        "versions": {"python": platform.python_version(), "oqvl-eval": version("oqvl-eval")},
        "num_outputs": options.questions * options.runs,
        "num_questions": options.questions,
        "forms": FORMS,
        "task": TASK,
        "cpu_seconds": round(sum(row["cpu_seconds"] for row in profiles.values()), 1),
        "wall_seconds": round(sum(row["wall_seconds"] for row in profiles.values()), 1),
        "profiles": profiles,
    }
    text = json.dumps(report, indent=2) + "\n"
    if options.json:
        options.json.write_text(text, encoding="utf-8")
    print(text, end="")


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


if __name__ == "__main__":
    main()
