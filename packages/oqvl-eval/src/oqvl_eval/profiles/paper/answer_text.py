"""What the harness of Open-Qwen2VL (0d76f9f) stores of a short answer.

It does so for TextVQA, VQAv2, OK-VQA, VizWiz and GQA; the other benchmarks store the answer as it is.

Bugs kept: a line break is removed without a space in its place, which joins two words, and decimal points are removed
too, so "1.5" becomes "15".
"""

from __future__ import annotations

_END_OF_CHUNK = "<|endofchunk|>"
_REMOVED = str.maketrans("", "", "\n.,")


def stored_answer(output: str) -> str:
    """Remove line breaks, periods and commas, lower-case the text, and cut it at an end-of-chunk token."""
    return output.translate(_REMOVED).lower().partition(_END_OF_CHUNK)[0]
