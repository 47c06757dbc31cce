"""CircularEval of MMBench: a question is asked once per rotation of its options and is right if all answers are.

The rotations of question i have the indices i, i + 1,000,000, i + 2,000,000, and so on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from oqvl_eval.profiles.markers import Credit, NeedsJudge

OFFSET = 1_000_000


@dataclass(frozen=True)
class Rotation:
    """One answer to one rotation of a question.

    Args:
        index: The row's index.
        output: The answer.
        options: The texts of the options by letter; only those the row has.
        gold: The right letter.
    """

    index: int
    output: str
    options: Mapping[str, object]
    gold: str


def by_question(rotations: Iterable[Rotation]) -> dict[int, list[Rotation]]:
    """Group rotations by question, in the order of their indices; questions without an unrotated row are left out."""
    questions: dict[int, list[Rotation]] = {}
    for rotation in sorted(rotations, key=lambda rotation: rotation.index):
        if rotation.index < OFFSET or rotation.index % OFFSET in questions:
            questions.setdefault(rotation.index % OFFSET, []).append(rotation)
    return questions


def all_right(letters: Iterable[str | None], golds: Iterable[str], has_judge: bool) -> Credit:
    """Return the credit of a question whose rotations were read as `letters`, None being unread.

    One wrong letter decides. If all letters that could be read are right and some could not, the judge decides; without
    one the question is wrong.
    """
    pairs = list(zip(letters, golds, strict=True))
    if any(letter is not None and letter != gold for letter, gold in pairs):
        return 0.0
    if all(letter is not None for letter, _ in pairs):
        return 1.0
    return NeedsJudge() if has_judge else 0.0


def mean_by(credits: Mapping[int, float], group_of: Mapping[int, str]) -> dict[str, float]:
    """Return the mean credit of the questions of each group, such as a category, in the order of the group names."""
    groups: dict[str, list[float]] = {}
    for question, value in credits.items():
        groups.setdefault(group_of[question], []).append(value)
    return {group: sum(values) / len(values) for group, values in sorted(groups.items())}
