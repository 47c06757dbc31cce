"""Find the options that a published question has in its text."""

from __future__ import annotations

import re

from oqvl_eval.item import LETTERS

_HEADING = re.compile(r"(?:options|choices)\s*:", re.IGNORECASE)


def inline_options(question: str) -> tuple[str, ...]:
    """Return the options at the end of a question without their letters, or nothing if there are fewer than two.

    Options are written `A. text`, `A: text` or `(A) text`, and their letters must run from A without a gap. After the
    last `Options:` or `Choices:`, they may be separated by commas, spaces or line ends. Without such a heading, each
    must start a line. An option ends at the end of its line at the latest.

    Example:
        >>> inline_options("Which one? Options: A: moss, B: fern")
        ('moss', 'fern')
    """
    headings = list(_HEADING.finditer(question))
    if headings:
        return _run_of_options(question[headings[-1].end() :], separator=r"(?:^|[,;]?\s)\s*")
    return _run_of_options(question, separator=r"(?:^|\n)\s*")


def _run_of_options(text: str, separator: str) -> tuple[str, ...]:
    """Return the options in `text` whose marks (`A.`, `B.`, ...) follow a match of the pattern `separator`."""
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
