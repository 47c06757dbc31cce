"""What a reader returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["read", "unread", "ambiguous", "refused", "no_answer"]
"""How a reading ended; see `Reading`."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read from one model output.

    Args:
        status: `read`: exactly one answer was found. `unread`: there is text, and no rule finds an answer in it.
            `ambiguous`: several answers, or one that is taken back. `refused`: the model declines, or declares that
            it does not know. `no_answer`: nothing is left to read: the output is blank, or its reasoning never ends.
        answer: The answer in its normal form; empty unless `status` is `read`.
        rule: The name of the rule that decided.
        span: Where the deciding text is in the output: start and end, in characters; None if no one place decided.
    """

    status: Status
    answer: str
    rule: str
    span: tuple[int, int] | None = None
