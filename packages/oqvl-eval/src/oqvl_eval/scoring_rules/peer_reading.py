"""What a harness read from an output, as a `Reading`. The rule is the name of its step."""

from __future__ import annotations

from oqvl_eval.profiles.markers import Draw, NeedsJudge
from oqvl_eval.reading.reading import Reading

DRAW = "random_draw"
"""The rule of a reading that the harness draws at random."""

JUDGE = "judge_model"
"""The rule of a reading that the harness leaves to a judge model."""


def peer_reading(value: str | Draw | NeedsJudge | None, rule: str) -> Reading:
    """Return what a step read.

    Args:
        value: What the step returned; None or an empty text if it found nothing.
        rule: The name of the step.
    """
    if isinstance(value, Draw):
        return Reading("unread", "", DRAW)
    if isinstance(value, NeedsJudge):
        return Reading("unread", "", JUDGE)
    return Reading("read", value, rule) if value else Reading("unread", "", f"no_{rule}")


def whole_answer(text: str) -> Reading:
    """Return the reading of a harness that compares the whole answer, once it has prepared it as `text`."""
    return peer_reading(text, "whole_answer")


def search(gold: str, *, is_found: bool) -> Reading:
    """Return the reading of a harness that only searches the answer for what is right."""
    return peer_reading(gold if is_found else None, "substring")
