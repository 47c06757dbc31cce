"""The removal of reasoning from answers, which the command line of lmms-eval (75571cf) does unless told otherwise.

A block without its closing tag is kept. If there is only a closing tag, everything before it is removed.
"""

from __future__ import annotations

from collections.abc import Sequence

DEFAULT_TAGS = (("<think>", "</think>"), ("<analysis>", "</analysis>"))


def strip_reasoning(output: str, tags: Sequence[tuple[str, str]] = DEFAULT_TAGS) -> str:
    """Remove the blocks between pairs of tags from an answer, and the white space around the rest.

    Args:
        output: The answer.
        tags: Pairs of an opening and a closing tag; upper and lower case differ.
    """
    for opening, closing in tags:
        while (start := output.find(opening)) >= 0 and (end := output.find(closing, start)) >= 0:
            output = output[:start] + output[end + len(closing) :]
        if opening not in output:
            output = output.rpartition(closing)[2]
    return output.strip()
