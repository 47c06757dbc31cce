"""The rules of one task under one profile, and the verdicts that they give."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType

from oqvl_eval.config import Profile
from oqvl_eval.item import Item, Rule
from oqvl_eval.profiles.markers import Credit
from oqvl_eval.reading.reading import Reading


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of one prediction under one profile.

    Args:
        item: The item.
        reading: What was read from the answer.
        credit: The score of the answer between 0 and 1. 0 if only a judge model could tell.
        output: The text that was judged. Empty in likelihood mode.
        needs_judge: Whether the profile's harness would ask a judge model.
    """

    item: Item
    reading: Reading
    credit: float
    output: str = ""
    needs_judge: bool = False

    @property
    def is_correct(self) -> bool:
        """Whether the answer has full credit."""
        return self.credit == 1


@dataclass(frozen=True)
class Figures:
    """What a profile reports of one task.

    Args:
        headline: The key of the figure that the profile's harness calls the score.
        values: Figures by name, as fractions. None where a figure is undefined.
    """

    headline: str
    values: Mapping[str, float | None]


Reader = Callable[[Item, str], Reading]
"""Reads an output."""

Grader = Callable[[Item, str, Reading], Credit]
"""Gives the credit of an output and its reading. A harness that does not grade what it read ignores the reading."""

Aggregator = Callable[[Sequence[Verdict]], Figures]
"""Makes figures of the verdicts of all items; there is at least one."""

Chooser = Callable[[Sequence[float]], int | None]
"""Chooses an option by log-likelihood: gets one per option, returns an index, or None if none stands out."""


@dataclass(frozen=True)
class TaskRules:
    """How one profile scores one task.

    Args:
        read: Reads an output.
        grade: Gives its credit.
        aggregate: Makes figures of all verdicts.
        notes: What to know about the score, such as the bugs that are reproduced.
        source: The repository and the commit whose rules these are. Empty if they are ours.
        prepare: What happens to an output before it is read. None if nothing does.
        choose: Chooses an option in likelihood mode. None if the profile has no such rule.
        uses_metadata: Whether reading or grading depends on the item's metadata, accepted answers aside.
    """

    read: Reader
    grade: Grader
    aggregate: Aggregator
    notes: tuple[str, ...] = ()
    source: str = ""
    prepare: Callable[[str], str] | None = None
    choose: Chooser | None = None
    uses_metadata: bool = False


@dataclass(frozen=True)
class ProfileRules:
    """How one profile scores everything.

    Args:
        profile: The name of the profile.
        source: The repository and the commit that it speaks for. Empty if the rules are ours.
        tasks: The rules by the name of the task.
        generic: The rules for items of other tasks, by the items' rule.
    """

    profile: Profile
    source: str
    tasks: Mapping[str, TaskRules]
    generic: Mapping[Rule, TaskRules] = field(default_factory=dict)


def kept_bugs(*modules: ModuleType) -> tuple[str, ...]:
    """Return the bugs that the docstrings of modules list after "Bugs kept"."""
    return tuple(bug for module in modules for bug in _bugs(inspect.getdoc(module) or ""))


def _bugs(docstring: str) -> Iterator[str]:
    """Yield each item of the list, or the only paragraph, on one line."""
    match = re.search(r"^Bugs? kept[^:]*:\s*(.*?)(?=\n\n[^-]|\Z)", docstring, flags=re.DOTALL | re.MULTILINE)
    for bug in re.split(r"^- ", match.group(1) if match else "", flags=re.MULTILINE):
        if bug.strip():
            yield " ".join(bug.split())
