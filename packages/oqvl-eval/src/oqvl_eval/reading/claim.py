"""The claims of an answer, and how they are weighed against each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """One place where an answer says what the answer is.

    Args:
        start: Where it begins, its cue included.
        end: Where it ends.
        answers: What it names; several if it names several.
        rule: The rule that found it.
        is_final: It is announced as the final answer.
        is_correction: It is introduced as a correction.
    """

    start: int
    end: int
    answers: frozenset[str]
    rule: str
    is_final: bool = False
    is_correction: bool = False


def standing(claims: Iterable[Claim]) -> Sequence[Claim]:
    """Return the claims that are not withdrawn, in the order of the text.

    A claim that is introduced as a correction ("No wait, the answer is C") withdraws all before it. One that is
    announced as the final answer withdraws all before it that are not. Nothing else withdraws anything: the last of
    several plain claims does not win.
    """
    ordered = sorted(claims, key=lambda claim: (claim.start, claim.end))
    for index in range(len(ordered) - 1, -1, -1):
        if ordered[index].is_correction:
            # A correction may be seen by two rules; what overlaps it is the same correction.
            ordered = [claim for claim in ordered if claim.end > ordered[index].start]
            break
    finals = [claim.start for claim in ordered if claim.is_final]
    if finals:
        ordered = [claim for claim in ordered if claim.is_final or claim.start >= finals[0]]
    return ordered
