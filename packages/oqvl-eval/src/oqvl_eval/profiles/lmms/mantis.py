"""Mantis-Eval as lmms-eval scores it (75571cf): the official rules without the one for the NLVR2 items.

The bugs of `oqvl_eval.profiles.official.mantis` are kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from oqvl_eval.profiles.official import mantis


def credit(output: str, options: Sequence[str] | None, gold: str) -> float:
    """Return the credit of an answer; `options` is None for a short-answer item."""
    return mantis.credit(output, options, gold)
