r"""Read a short free answer.

| Rule | Reads |
|---|---|
| `answer_is` and the other firm cues | what follows "the answer is", to the end of its sentence or its reason |
| `boxed` | the content of `\boxed{...}` |
| `first_line` | the first line, if nothing is declared anywhere |

The answer keeps its letter case and its punctuation inside; comparing it with what is expected is scoring, not reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from oqvl_eval.reading.claim import Claim, standing
from oqvl_eval.reading.declaration import Strength, announces, declared, is_denied
from oqvl_eval.reading.normalisation import CJK, WORD
from oqvl_eval.reading.reading import Reading
from oqvl_eval.reading.refusal import refusals
from oqvl_eval.reading.scope import answer_scope

_MAX_BOX = 400  # characters in a box
_MAX_ANSWER = 500  # characters of a declared answer; bounds the work per cue, and a longer one is not short
_BOX = re.compile(r"\\(?:boxed|fbox) ?(?=\{)")
_BRACE = re.compile(r"[{}\n]")
_OPENING, _CLOSING = " \"'([{<", " \"')]}>.,;:!"
_PAIRS = {")": "(", "]": "[", "}": "{", ">": "<"}

# A full stop ends a sentence, but not after an initial or an abbreviation: "St. Louis", "J. Smith", "U.S. flag".
_SENTENCE_END = re.compile(
    rf"(?<!\b[A-Z])(?<!\b(?:St|Mr|Ms|Dr|Mt|Jr|Sr|vs|Ft))(?<!\b(?:Mrs|Inc|Ave|etc))[.!?;](?=[\s\"')\]]|\Z|[{CJK}])|\n"
    rf"|[,]? (?:because|since)(?!{WORD})|[,]? ?因为"
)
_EXPLAINED = re.compile(
    rf"[.!;] (?=(?:Because|Since|Explanation|Reason|This is because|That is because)(?!{WORD}))|[.,!]? ?因为"
)
_DENIED_ANSWER = re.compile(rf"(?:not|never|neither|n't|不是)(?!{WORD})", re.IGNORECASE)
_DENIED_LINE = re.compile(
    rf"(?:not|never)(?!{WORD})"
    rf"|[^\n.]{{0,80}}(?<!{WORD})answer (?:isn't|is not|can't|cannot|could|might|may|is neither)(?!{WORD})"
    r"|答案不|不是",
    re.IGNORECASE,
)
_TEXT_RULES = frozenset({"answer_is", "answer_is_chinese"})
_ANSWER_HEADING = re.compile(
    r"(?:(?:the|final|short|correct|my) )*(?:answer|response|答案|回答) ?[:=] ?", re.IGNORECASE
)


def read_text(output: str) -> Reading:
    """Read a short free answer.

    Args:
        output: The model's output, reasoning included.

    Returns:
        The reading; `answer` is not blank if it is `read`.

    Example:
        >>> read_text("The answer is **Paris**, because the tower is there.").answer
        'Paris'
    """
    scope = answer_scope(output)
    if isinstance(scope, Reading):
        return scope
    text = scope.text
    claims = standing([*_declared(text), *_boxed(text)])
    if not claims and not _denies(text):
        claims = standing(_first_line(text))
    for start, end in refusals(text):
        if not claims or start < claims[0].end:
            return Reading("refused", "", "refusal", scope.span(start, end))
    if not claims:
        return Reading("unread", "", "no_rule")
    first = claims[0]
    span = scope.span(first.start, first.end)
    if len({answer.casefold() for claim in claims for answer in claim.answers}) > 1:
        return Reading("ambiguous", "", "several_answers", span)
    (answer,) = first.answers
    return Reading("read", answer, first.rule, span)


def _declared(text: str) -> Iterator[Claim]:
    """The answer is announced.

    Example: "The answer is Paris.", "Answer: Paris", "答案是巴黎".
    """

    def parse(start: int, rule: str, _strength: Strength) -> Claim | None:
        if rule not in _TEXT_RULES or _DENIED_ANSWER.match(text, start):
            return None
        return next(_claim(text, start, _sentence_end(text, start), rule), None)

    for cue, claim in declared(text, parse):
        yield Claim(claim.start, claim.end, claim.answers, cue.rule, cue.is_final, bool(cue.correction))


def _boxed(text: str) -> Iterator[Claim]:
    r"""A box holds the answer.

    Example: `\boxed{Paris}`.
    """
    for match in _BOX.finditer(text):
        depth = 0
        for brace in _BRACE.finditer(text, match.end(), match.end() + _MAX_BOX):
            depth += {"{": 1, "}": -1, "\n": 0}[brace.group()]
            if depth == 0 and not is_denied(text, match.start()):
                yield from _claim(text, match.end() + 1, brace.start(), "boxed")
            if depth == 0:
                break


def _first_line(text: str) -> Iterator[Claim]:
    """The first line is the answer, without a heading, and without a sentence that begins "Because".

    Example: `Paris`, "Paris. Because the tower is there".
    """
    end = text.find("\n")
    end = len(text) if end < 0 else end
    heading = _ANSWER_HEADING.match(text)
    explained = _EXPLAINED.search(text, 1, end)
    if not text.startswith("?", end - 1):  # a question does not answer
        yield from _claim(text, heading.end() if heading else 0, explained.start() if explained else end, "first_line")


def _denies(text: str) -> bool:
    """Return whether the first line announces an answer that is not claimed, or says what the answer is not."""
    return announces(text.partition("\n")[0]) or bool(_DENIED_LINE.match(text))


def _claim(text: str, start: int, end: int, rule: str) -> Iterator[Claim]:
    """Yield a claim of what is at a place, without decoration, unless that is nothing or a question."""
    if text.startswith("?", end):
        return
    while start < end and text[start] in _OPENING and not _is_balanced(text[start:end]):
        start += 1
    while end > start and text[end - 1] in _CLOSING and not _is_balanced(text[start:end]):
        if (
            start + 1 < end
            and text[end - 1] in "\"'"
            and text[end - 2].isdigit()
            and text[start - 1 : start] != text[end - 1]
        ):
            break  # inches and feet
        end -= 1
    if start < end:
        yield Claim(start, end, frozenset([text[start:end]]), rule)


def _is_balanced(answer: str) -> bool:
    """Return whether an answer ends in a bracket that it opens inside, as `f(x)` does, so not in decoration."""
    opening = _PAIRS.get(answer[-1])
    return opening is not None and answer[0] not in _OPENING and answer.rfind(opening) > 0


def _sentence_end(text: str, start: int) -> int:
    """Return where a declared answer ends; its start, so that there is none, if its sentence is too long."""
    limit = start + _MAX_ANSWER
    match = _SENTENCE_END.search(text, start + 1, limit)
    if match:
        return match.start()
    return len(text) if len(text) <= limit else start
