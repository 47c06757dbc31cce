"""Recognise refusals and declared ignorance."""

from __future__ import annotations

import re
from collections.abc import Iterator

_ENGLISH = re.compile(
    r"""(?<![A-Za-z])(?:
      (?:i|we)(?:\ am|'m|\ are|'re)?\ (?:really\ |just\ |honestly\ |simply\ )?
        (?:do\ not|don't|did\ not|didn't)\ (?:really\ |actually\ )?(?:know|have\ (?:enough|access|the\ ability))
    | (?:i|we)(?:\ am|'m|\ are|'re)\ (?:not\ able|unable|not\ (?:entirely\ |really\ |completely\ |quite\ |too\ )?(?:sure|certain))
    | (?:i|we)\ (?:can\ ?not|can't|could\ not|couldn't|am\ unable\ to|will\ not|won't)\ (?:really\ |accurately\ |definitively\ )?
        (?:tell|determine|answer|say|provide|identify|assist|help|confirm|verify|comply|know|decide|view|access
          |see\ (?:the|any|an|this|that)\ (?:image|picture|photo))
    | not\ (?:entirely\ |really\ |completely\ |quite\ )?(?:sure|certain) | (?:un|not\ )clear (?=\ ?(?:[.!,;]|\n|\Z))
    | unsure | (?:i\ have\ )?no\ (?:idea|clue) | (?:beats\ me|who\ knows)
    | (?:it|this|that|which|answer|question|image)\ (?:can\ ?not|can't|could\ not|couldn't)\ be\ (?:determined|answered|known|identified)
    | (?:it|this|that)(?:'s|\ is)\ (?:impossible|not\ possible|unclear|difficult|hard|not\ clear)\ to\ (?:tell|say|determine|know|answer)
    | (?:there\ is|there's)\ (?:not\ enough|no|insufficient)\ information | as\ an?\ (?:ai|language\ model|artificial)
    | sorry,?\ (?:but\ )?(?:i|we)\ (?:can\ ?not|can't|do\ not|don't|am\ not|am\ unable)
    | (?:unable|not\ able|impossible)\ to\ (?:tell|determine|answer|say|know|see|view|identify)
    | (?:can\ ?not|can't)\ (?:tell|determine|answer|say|be\ determined) | (?:do\ not|don't|dunno)\ know | dunno | idk
    | (?:not\ enough|insufficient)\ information | undetermined | indeterminate
    )(?![A-Za-z])""",
    re.IGNORECASE | re.VERBOSE,
)
_CHINESE = re.compile(
    "\u4e0d\u77e5\u9053|\u4e0d\u786e\u5b9a|\u4e0d\u6e05\u695a|\u65e0\u6cd5|\u4e0d\u80fd\u786e\u5b9a|\u4e0d\u80fd\u5224\u65ad|"
    "\u96be\u4ee5|\u62b1\u6b49|\u5bf9\u4e0d\u8d77|\u4e0d\u660e\u786e|\u4e0d\u597d\u8bf4|\u770b\u4e0d\u6e05|\u4e0d\u4f1a"
)


def refusals(text: str) -> Iterator[tuple[int, int]]:
    """Yield where a normalised text refuses to answer or declares that it does not know.

    Example:
        >>> list(refusals("I don't know."))
        [(0, 12)]
    """
    for pattern in (_ENGLISH, _CHINESE):
        for match in pattern.finditer(text):
            yield match.span()


def first_doubt(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Return the refusal that takes the answer at `text[start:end]` back, if there is one.

    Doubt before an answer, or in its sentence, makes it a guess of the model ("I'm not sure. Yes", "B, I don't know").
    Doubt in a later sentence concerns the explanation ("B. I cannot tell which dog it is."). What is inside the answer
    is its text ("D. Cannot be determined").
    """
    sentence = sentence_end(text, end)
    for first, last in refusals(text):
        if first < sentence and not start <= first < end and last > 0:
            return first, last
    return None


_SENTENCE_END = re.compile(r"[.!?](?=[\s\"')\]]|\Z|[\u2e80-\u9fff])|\n")


def sentence_end(text: str, position: int) -> int:
    """Return where the sentence at a position ends; the position itself if it is the end of one."""
    match = _SENTENCE_END.search(text, position)
    return match.start() if match else len(text)
