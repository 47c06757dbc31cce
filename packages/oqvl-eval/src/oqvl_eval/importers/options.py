"""Options that a published question holds in its text."""

from __future__ import annotations

import re

from oqvl_eval.item import LETTERS

_HEADING = re.compile(r"(?:options|choices)\s*:", re.IGNORECASE)


def inline_options(question: str) -> tuple[str, ...]:
    """Return the options at the end of a question, without their letters; empty when there are fewer than two.

    They follow the last `Options:` or `Choices:`, or stand on lines of their own at the end: `A. text`, `A: text`,
    `(A) text`, separated by line ends or, after a heading, by commas; an option ends with its line. The letters must
    run from A without a gap.
    """
    headings = list(_HEADING.finditer(question))
    if headings:
        return _run_of_options(question[headings[-1].end() :], separator=r"(?:^|[,;]?\s)\s*")
    return _run_of_options(question, separator=r"(?:^|\n)\s*")


def _run_of_options(text: str, separator: str) -> tuple[str, ...]:
    marks: list[re.Match[str]] = []
    for letter in LETTERS:
        mark = re.compile(rf"{separator}(?:\({letter}\)|{letter}\s?[.:)])\s*")
        match = mark.search(text, marks[-1].end() if marks else 0)
        if match is None:
            break
        marks.append(match)
    ends = [*(mark.start() for mark in marks), len(text)][1:]
    texts = [text[mark.end() : end].partition("\n")[0] for mark, end in zip(marks, ends, strict=False)]
    options = tuple(option.strip().rstrip(",;") for option in texts)
    return options if len(options) > 1 and all(options) else ()
