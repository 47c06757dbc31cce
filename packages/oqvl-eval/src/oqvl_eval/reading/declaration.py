"""Find the phrases that introduce an answer: "the answer is", "so", "I choose", and their Chinese kin.

A cue says where an answer begins, and how firmly it announces one. It is dropped if its clause denies or doubts
("I do not think the answer is"), or if its sentence sets a condition ("If it is red, the answer is").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from oqvl_eval.reading.normalisation import WORD

Strength = Literal["strong", "weak"]


@dataclass(frozen=True, slots=True)
class Cue:
    """A phrase that introduces an answer.

    Args:
        start: Where it begins.
        end: Where the answer begins.
        rule: The name of the rule.
        strength: `strong`: what follows is an answer, even if the sentence goes on. `weak`: only if it stands alone.
        is_final: It announces the final answer, which withdraws the answers before it that do not.
        is_correction: It corrects, and withdraws all answers before it.
    """

    start: int
    end: int
    rule: str
    strength: Strength
    is_final: bool = False
    is_correction: bool = False


_IS = r"(?:(?:is|are|was|should be|must be|would be|will be|has to be)(?![A-Za-z']) ?:?|[:=]|->| -(?= ))"
_SURELY = r"(?:(?:definitely|clearly|simply|probably|most likely|likely|therefore|thus|indeed|the (?=option|choice|letter)) ?){0,2}"
_IS_VERBOSE, _SURELY_VERBOSE = (part.replace(" ", r"\ ") for part in (_IS, _SURELY))
_THAT_IS = r"(?:(?:that )?(?:it is|it's|it must be|this is|the answer is|that is|that's) )?"

# The answer is B | Final answer: B | "answer": "B" | The correct choice would be B
_ANSWER_IS = re.compile(
    rf"""(?<!{WORD})(?:
      (?P<final>final\ )?(?:answers?|ans)(?![A-Za-z])["']?(?:\ (?:to|for|of|here|in)(?![A-Za-z])[^.\n?!:]{{0,80}}?)?
    | (?:correct|right|best|proper|most\ likely|most\ suitable|my|my\ final|(?P<final2>final))\ (?:choice|option|one|letter|response|solution)
    | (?<=\n)(?:choice|option|solution|response|conclusion)(?=\ ?:) | \A(?:choice|option|solution|response|conclusion)(?=\ ?:)
    | correct\ (?:{WORD}{{1,20}}\ ){{0,2}}{WORD}{{1,20}}
    )\s?{_IS_VERBOSE}\s?{_SURELY_VERBOSE}""",
    re.IGNORECASE | re.VERBOSE,
)
# I choose B | I would say B | we select option B
_CHOOSE = re.compile(
    rf"(?<!{WORD})(?:(?:i|we)(?:'d| would| will|'ll| must| shall) (?:say|answer|guess|go for)|choose|chose|pick|picked|select|selected"
    rf"|opt for|go with|going with|vote for|settle on)(?![A-Za-z]) ?:?\s?{_THAT_IS}(?:the (?=option|choice|letter|answer))?",
    re.IGNORECASE,
)
# I think B | so B | therefore, it is B
_CONCLUDE = re.compile(
    rf"(?<!{WORD})(?:(?:i|we) (?:think|believe|guess|suppose|am confident|am sure|say)|so|therefore|thus|hence|consequently|in conclusion"
    rf"|but rather|instead|my guess is)(?![A-Za-z']),? {_THAT_IS}{_SURELY}"
    r"|(?:\u800c\u662f|\u6240\u4ee5\u662f?|\u56e0\u6b64\u662f?|\u6545),? ?|(?<!\S)(?:=>|\u2234) ?",
    re.IGNORECASE,
)
# It is B | that's B
_COPULA = re.compile(rf"(?<!{WORD})(?:it|this|that)(?:'s| is| must be| has to be| should be) {_SURELY}", re.IGNORECASE)
# not A but B
_NOT_BUT = re.compile(rf"(?<!{WORD})not [^.,;\n]{{1,40}},? but (?:rather )?", re.IGNORECASE)
# 答案是B | 正确答案为B | 最终答案:B
_CHINESE_IS = re.compile(
    r"(?P<final>\u6700\u7ec8|\u6700\u540e)?\u7684?(?:\u7b54\u6848|\u6b63\u786e\u9009\u9879|\u6b63\u786e\u7684\u9009\u9879|\u6b63\u786e\u7684\u662f|\u6211\u7684\u9009\u62e9)"
    r"(?:\u5e94\u8be5|\u5e94\u5f53|\u5e94|\u5c31|\u9009\u62e9|\u9009)?(?:\u662f|\u4e3a|\u9009|:|(?<=\u9009)|(?<=\u9009\u62e9)|(?<=\u6b63\u786e\u7684\u662f)) ?:?\s?"
)
# 选B | 故选:D | 应选A; not 选项, 选择题, 不选
_CHINESE_CHOOSE = re.compile(
    r"(?<![\u4e0d\u522b\u975e\u672a\u52ff\u6ca1\u5f85\u53ef])(?:\u9009\u62e9|\u9009)(?![\u9879\u62e9\u9898\u624b\u4e3e\u6c11\u7528\u51fa])(?:\u7b54\u6848)? ?:?\s?"
)

_RULES: tuple[tuple[str, re.Pattern[str], Strength], ...] = (
    ("answer_is", _ANSWER_IS, "strong"),
    ("chosen", _CHOOSE, "strong"),
    ("answer_is_chinese", _CHINESE_IS, "strong"),
    ("chosen_chinese", _CHINESE_CHOOSE, "strong"),
    ("concluded", _CONCLUDE, "weak"),
    ("copula", _COPULA, "weak"),
)

_CORRECTING = (
    r"(?:no|nope|wait|actually|sorry|correction|on second thoughts?|i mean|i meant|let me correct (?:that|myself|it)|rather|scratch that"
    r"|my mistake|\u66f4\u6b63|\u4e0d\u5bf9|\u7b49\u7b49|\u7b49\u4e00\u4e0b|\u54e6\u4e0d)"
)
_CORRECTION_BEFORE = re.compile(
    rf"(?:\A|[.!?,;:\n(-]) ?(?:(?:oh|hmm|well|but|and|or),? )?{_CORRECTING}(?:[ ,.!:;-]{{1,4}}{_CORRECTING}){{0,4}}[ ,.!:;\n-]{{0,4}}"
    r"(?:(?:so|the|my|it|that|i|think|correct|right|should be|\u5e94\u8be5|\u6b63\u786e) ?){0,4}\Z",
    re.IGNORECASE,
)
# No wait, C | actually C
_CORRECT_TO = re.compile(rf"(?:\A|(?<=[.!?,;:\n(-])|(?<=[.!?,;:\n(-] )){_CORRECTING}(?:[ ,.!:;-]{{1,4}}{_CORRECTING}){{0,4}}[ ,:]{{1,3}}", re.IGNORECASE)

_DENIED_CLAUSE = re.compile(
    rf"""(?<!{WORD})(?:not|never|no\ one|nobody|none|neither|nor|cannot|can't|hardly|unlikely|doubt|deny|wrong|incorrect|false
    |mistaken|possible|another|other|alternative|might|may|could|than|unlike|except|without|instead\ of|no\ way|no\ reason)(?!{WORD})
    |n't(?!{WORD})|[\u4e0d\u6ca1\u975e\u522b\u52ff\u9664]|\u9519\u8bef|\u53ef\u80fd""",
    re.IGNORECASE | re.VERBOSE,
)
_CONDITION = re.compile(
    rf"(?<!{WORD})(?:if|unless|whether|suppose|supposing|assume|assuming|imagine|otherwise)(?!{WORD})"
    r"|\u5982\u679c|\u5047\u5982|\u5047\u8bbe|\u82e5|\u662f\u5426",
    re.IGNORECASE,
)
_NO_DOUBT = re.compile(r"\b(?:no|without(?: an?y?)?|not) doubt(?: that)?\b|\bnot only\b", re.IGNORECASE)
_CLAUSE_START = re.compile(r"[,:;(\n-]|\b(?:so|therefore|thus|hence|but|because)\b|\u6240\u4ee5|\u56e0\u6b64|\u6545|\u5e94", re.IGNORECASE)
_SENTENCE_START = re.compile(r"[.!?](?=[\s\"')\]\u2e80-\u9fff])|\n")
_WINDOW = 300  # characters before a cue that are searched for denials; bounds the work per cue


def cues(text: str) -> Iterator[Cue]:
    """Yield the cues of a normalised text, rule by rule.

    Example:
        >>> [text[cue.end :] for text in ["The answer is B"] for cue in cues(text)]
        ['B']
    """
    for rule, pattern, strength in _RULES:
        for match in pattern.finditer(text):
            if not is_denied(text, match.start()):
                groups = match.groupdict()
                is_final = any(groups.get(name) for name in ("final", "final2"))
                corrects = is_correction(text, match.start())
                yield Cue(match.start(), match.end(), rule, strength, is_final, corrects)
    for match in _NOT_BUT.finditer(text):
        yield Cue(match.start(), match.end(), "not_but", "weak")
    for match in _CORRECT_TO.finditer(text):
        yield Cue(match.start(), match.end(), "corrected", "weak", is_correction=match.start() > 0)


def is_denied(text: str, start: int) -> bool:
    """Return whether the clause before a cue denies it, or its sentence makes it depend on a condition."""
    before = text[max(0, start - _WINDOW) : start]
    sentence = _SENTENCE_START.split(before)[-1]
    if _CONDITION.search(sentence):
        return True
    clause = _CLAUSE_START.split(_NO_DOUBT.sub("", sentence))[-1]
    return _DENIED_CLAUSE.search(clause) is not None


def is_correction(text: str, start: int) -> bool:
    """Return whether a cue is introduced as a correction: "No wait, the answer is C"."""
    return start > 0 and _CORRECTION_BEFORE.search(text, max(0, start - 60), start) is not None
