"""Recognise refusals and declared ignorance."""

from __future__ import annotations

import re
from collections.abc import Iterator

_NOT_ABLE = r"(?:can ?not|can't|could not|couldn't)"
_HOW = r"(?:really |actually |honestly |simply |just |entirely |completely |quite |too |accurately |definitively )?"
_LEARN = r"(?:tell|determine|answer|say|know|identify|count)"
_ENGLISH = re.compile(
    r"(?<![A-Za-z])(?:"
    # I don't know | I do not have access
    rf"(?:i|we) {_HOW}(?:do not|don't|did not|didn't) {_HOW}(?:know|have (?:enough|access|the ability))"
    # I am not sure | not sure | I'm unable
    rf"|(?:i|we)(?: am|'m| are|'re) (?:not able|unable)|not {_HOW}(?:sure|certain)|unsure"
    # I cannot tell | I can't see the image
    rf"|(?:i|we) (?:{_NOT_ABLE}|will not|won't) {_HOW}(?:{_LEARN}|provide|assist|help|confirm|verify|comply|decide|view"
    r"|access|see (?:the|any|an|this|that) (?:image|picture|photo))"
    r"|sorry,? (?:but )?(?:i|we) (?:can ?not|can't|do not|don't|am not|am unable)"
    r"|as an? (?:ai|language model|artificial)"
    # It cannot be determined | not enough information | it is impossible to tell
    rf"|(?:it|this|that|which|answer|question|image) {_NOT_ABLE} be (?:determined|answered|known|identified)"
    r"|(?:can ?not|can't) be determined|(?:not enough|insufficient) information|undetermined|indeterminate"
    r"|no information (?:is )?(?:provided|given|available)"
    rf"|(?:it|this|that)(?:'s| is) (?:impossible|not possible|unclear|difficult|hard|not clear) to {_LEARN}"
    # No idea | dunno | Cannot tell.
    r"|(?:i have )?no (?:idea|clue)|beats me|who knows|(?:unclear|not clear)(?= ?(?:[.!,;]|\n|\Z))"
    r"|(?:\A|(?<=\n)|(?<=[.!?;,] ))(?:dunno|idk|(?:do not|don't) know"
    rf"|(?:unable|not able|impossible|can ?not|can't)(?: to)? (?:{_LEARN}|see|view))"
    r")(?![A-Za-z])",
    re.IGNORECASE,
)
_CHINESE = re.compile(
    r"不知道|不确定|不清楚|抱歉|对不起|不好说|看不清"
    r"|(?:无法|不能|难以)(?:直接|准确)?(?:确定|判断|回答|得知|看出|识别|确认|提供|给出|看到|辨认|知道)"
)
_SENTENCE_END = re.compile(r"[.!?](?=[\s\"')\]]|\Z|[\u2e80-\u9fff])|\n")


def refusals(text: str) -> Iterator[tuple[int, int]]:
    """Yield where a normalised text refuses to answer or declares that it does not know.

    Example:
        >>> list(refusals("I don't know."))
        [(0, 12)]
    """
    for pattern in (_ENGLISH,) if text.isascii() else (_ENGLISH, _CHINESE):
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
        if first < sentence and not start <= first < end:
            return first, last
    return None


def sentence_end(text: str, position: int) -> int:
    """Return where the sentence at a position ends; the position itself if it is the end of one."""
    match = _SENTENCE_END.search(text, position)
    return match.start() if match else len(text)
