"""What VLMEvalKit (e8e78f0) does with reasoning if the variable SPLIT_THINK is set: keep what follows it."""

from __future__ import annotations

_CLOSING = "</think>"


def strip_reasoning(output: str) -> str:
    """Return what follows the last `</think>`, stripped; an answer without the tag as it is."""
    return output.rpartition(_CLOSING)[2].strip() if _CLOSING in output else output
