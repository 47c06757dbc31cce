"""Options that a published question holds in its text."""

from __future__ import annotations

import re

from oqvl_eval.item import LETTERS

_HEADING = re.compile(r"(?:options|choices)\s*:", re.IGNORECASE)


def inline_options(question: str) -> tuple[str, ...]:
    """Return the options at the end of a question, without their letters; empty when there are fewer than two.

    They follow the last `Options:` or `Choices:`, or stand on lines of their own at the end: `A. text`, `A: text`,
    `(A) text`, separated by line ends or, after a heading, by commas. The letters must run from A without a gap.
    """
    headings = list(_HEADING.finditer(question))
    if headings:
        return _run_of_options(question[headings[-1].end() :], separator=r"(?:^|[,;]?\s)\s*")
    return _run_of_options(question, separator=r"(?:^|\n)\s*")


def _run_of_options(text: str, separator: str) -> tuple[str, ...]:
    spans: list[tuple[int, int]] = []
    for letter in LETTERS:
        mark = re.compile(rf"{separator}(?:\({letter}\)|{letter}\s?[.:)])\s*")
        match = mark.search(text, spans[-1][1] if spans else 0)
        if match is None:
            break
        spans.append(match.span())
    ends = [start for start, _ in spans[1:]] + [len(text)]
    options = tuple(
        text[span[1] : end].split("\n\n")[0].strip().rstrip(",;") for span, end in zip(spans, ends, strict=True)
    )
    return options if len(options) > 1 and all(options) else ()
