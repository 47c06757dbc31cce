"""Find the phrases that introduce an answer: "the answer is", "so", "I choose", and their Chinese kin.

A cue says where an answer begins, and how firmly it announces one. It is dropped if its clause denies or doubts
("I do not think the answer is"), or if its sentence sets a condition ("If it is red, the answer is").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

from oqvl_eval.reading.normalisation import WORD

T = TypeVar("T")
Strength = Literal["strong", "weak"]
Correction = Literal["", "no", "word"]


@dataclass(frozen=True, slots=True)
class Cue:
    """A phrase that introduces an answer.

    Args:
        start: Where it begins.
        end: Where the answer begins.
        rule: The name of the rule.
        strength: `strong`: what follows is an answer, even if the sentence goes on. `weak`: only if it stands alone.
        is_final: It announces the final answer, which withdraws the answers before it that do not.
        correction: How it corrects what is before it, and so withdraws it: by a word such as "wait", or by a plain
            "no", which may be an answer itself; empty if it does not.
    """

    start: int
    end: int
    rule: str
    strength: Strength
    is_final: bool = False
    correction: Correction = ""


_IS = r"(?:(?<![A-Za-z])(?:is|are|was|should be|must be|would be|will be|has to be)(?![A-Za-z']) ?:?|[:=]|->| -(?= ))"
_SURELY = (
    r"(?:(?:definitely|clearly|simply|probably|most likely|likely|therefore|thus|indeed"
    r"|the (?=option|choice|letter)) ?){0,2}"
)
_HEADING = r"(?:choice|option|solution|response|conclusion)(?= ?:)"
_THAT_IS = r"(?:(?:that )?(?:it is|it's|it must be|this is|the answer is|that is|that's) )?"

# The answer is B | Final answer: B | "answer": "B" | The correct choice would be B
_ANSWER_IS = re.compile(
    rf"(?<!{WORD})(?:"
    r"(?P<final>final )?(?:answers?|ans)(?![A-Za-z])[\"']?(?: (?:to|for|of|here|in)(?![A-Za-z])[^.\n?!:]{0,80}?)?"
    r"|(?:correct|right|best|proper|most likely|most suitable|my|my final|(?P<final2>final))"
    r" (?:choice|option|letter|response|solution)"
    rf"|correct one|(?<=\n){_HEADING}|\A{_HEADING}"
    rf"|correct (?:{WORD}{{1,20}} ){{0,2}}{WORD}{{1,20}}"
    rf")\s?{_IS}\s?{_SURELY}",
    re.IGNORECASE,
)
# I choose B | I would say B | we select option B
_CHOOSE = re.compile(
    rf"(?<!{WORD})(?:(?:i|we)(?:'d| would| will|'ll| must| shall) (?:say|answer|guess|go for)"
    r"|choose|chose|pick|picked|select|selected|opt for|go with|going with|vote for|settle on)(?![A-Za-z])"
    rf" ?:?\s?{_THAT_IS}(?:the (?=option|choice|letter|answer))?",
    re.IGNORECASE,
)
# I think B | so B | therefore, it is B
_CONCLUDE = re.compile(
    rf"(?<!{WORD})(?:(?:i|we) (?:think|believe|guess|suppose|am confident|am sure|say)|so|therefore|thus|hence"
    r"|consequently|in conclusion|but rather|instead|my guess is"
    r"|(?:corresponds to|matches)(?= (?:the )?(?:option|choice)))"
    rf"(?![A-Za-z']),? {_THAT_IS}{_SURELY}"
    r"|(?:而是|所以是?|因此是?|故),? ?|(?<!\S)(?:=>|\u2234) ?",
    re.IGNORECASE,
)
# It is B | that's B
_COPULA = re.compile(rf"(?<!{WORD})(?:it|this|that)(?:'s| is| must be| has to be| should be) {_SURELY}", re.IGNORECASE)
# not A but B
_NOT_BUT = re.compile(rf"(?<!{WORD})not [^.,;\n]{{1,40}},? but (?:rather )?", re.IGNORECASE)
# 答案是B | 正确答案为B | 最终答案:B
_CHINESE_IS = re.compile(
    r"(?P<final>最终|最后)?的?(?:答案|正确选项|正确的选项|正确的是|我的选择)"
    r"(?:应该|应当|应|就|选择|选)?(?:是|为|选|:|(?<=选)|(?<=选择)|(?<=正确的是)) ?:?\s?"
)
# 选B | 故选:D | 应选A; not 选项, 选择题, 不选
_CHINESE_CHOOSE = re.compile(r"(?<![不别非未勿没待可])(?:选择|选)(?![项择题手举民用出])(?:答案)? ?:?\s?")

_RULES: tuple[tuple[str, re.Pattern[str], Strength], ...] = (
    ("answer_is", _ANSWER_IS, "strong"),
    ("chosen", _CHOOSE, "strong"),
    ("answer_is_chinese", _CHINESE_IS, "strong"),
    ("chosen_chinese", _CHINESE_CHOOSE, "strong"),
    ("concluded", _CONCLUDE, "weak"),
    ("copula", _COPULA, "weak"),
)

_CORRECTING = (
    r"(?:no|nope|wait|actually|sorry|correction|on second thoughts?|i mean|i meant|let me correct (?:that|myself|it)"
    r"|rather|scratch that|my mistake|更正|不对|等等|等一下|哦不)"
)
_CORRECTINGS = rf"{_CORRECTING}(?:[ ,.!:;-]{{1,4}}{_CORRECTING}){{0,4}}"
_CORRECTING_WORDS = frozenset(
    "wait actually sorry correction second mean meant let rather scratch mistake 更正 不对 等等 等一下 哦不".split()
)
_CORRECTION_BEFORE = re.compile(
    rf"(?:\A|[.!?,;:\n(-]) ?(?:(?:oh|hmm|well|but|and|or),? )?{_CORRECTINGS}[ ,.!:;\n-]{{0,4}}"
    r"(?:(?:so|the|my|it|that|i|think|correct|right|should be|应该|正确) ?){0,4}\Z",
    re.IGNORECASE,
)
# No wait, C | actually C
_CORRECT_TO = re.compile(
    rf"(?:\A|(?<=[.!?,;:\n(-])|(?<=[.!?,;:\n(-] )){_CORRECTINGS}[ ,:]{{1,3}}",
    re.IGNORECASE,
)

_DENIED_CLAUSE = re.compile(
    rf"(?<!{WORD})(?:not|never|no one|nobody|none|neither|nor|cannot|can't|hardly|unlikely|doubt|deny|wrong|incorrect"
    r"|false|mistaken|possible|another|other|alternative|might|may|could|than|unlike|except|without|instead of|no way"
    rf"|no reason)(?!{WORD})|n't(?!{WORD})|[不没非别勿除]|错误|可能",
    re.IGNORECASE,
)
_CONDITION = re.compile(
    rf"(?<!{WORD})(?:if|unless|whether|suppose|supposing|assume|assuming|imagine|otherwise)(?!{WORD})"
    r"|如果|假如|假设|若|是否",
    re.IGNORECASE,
)
_NO_DOUBT = re.compile(r"\b(?:no|without(?: an?y?)?|not) doubt(?: that)?\b|\bnot only\b", re.IGNORECASE)
_CLAUSE_START = re.compile(r"[,:;(\n-]|\b(?:so|therefore|thus|hence|but|because)\b|所以|因此|故", re.IGNORECASE)
_SENTENCE_START = re.compile(r"[.!?](?=[\s\"')\]\u2e80-\u9fff])|\n")
_WINDOW = 300  # characters before a cue that are searched for denials; bounds the work per cue


def declared(text: str, parse: Callable[[int, str, Strength], T | None]) -> Iterator[tuple[Cue, T]]:
    """Yield the cues of a normalised text that an answer follows, rule by rule, each with that answer.

    Args:
        text: The text.
        parse: Given the place after a cue, its rule and its strength, returns the answer there; None if there is none.
    """
    for rule, pattern, strength in _RULES:
        if rule.endswith("_chinese") and text.isascii():
            continue
        for match in pattern.finditer(text):
            # Parsed first: most places after a cue hold no answer, and looking back for denials costs more.
            answer = parse(match.end(), rule, strength)
            if answer is not None and not is_denied(text, match.start()):
                groups = match.groupdict()
                is_final = any(groups.get(name) for name in ("final", "final2"))
                corrects = correction(text, match.start())
                yield Cue(match.start(), match.end(), rule, strength, is_final, corrects), answer
    for match in _NOT_BUT.finditer(text):
        answer = parse(match.end(), "not_but", "weak")
        if answer is not None:
            yield Cue(match.start(), match.end(), "not_but", "weak"), answer
    for match in _CORRECT_TO.finditer(text):
        answer = parse(match.end(), "corrected", "weak")
        if answer is not None:
            # The answer that is withdrawn may be right before it, so it begins where its answer does.
            yield Cue(match.end(), match.end(), "corrected", "weak", correction=_kind(match.group())), answer


def announces(text: str) -> bool:
    """Return whether a text says what the answer is, or is not: whether it has a cue of the answer, denied or not."""
    return any(pattern.search(text) for pattern in (_ANSWER_IS, _CHINESE_IS))


def is_denied(text: str, start: int) -> bool:
    """Return whether the clause before a cue denies it, or its sentence makes it depend on a condition."""
    before = text[max(0, start - _WINDOW) : start]
    sentence = _SENTENCE_START.split(before)[-1]
    if _CONDITION.search(sentence):
        return True
    clause = _CLAUSE_START.split(_NO_DOUBT.sub("", sentence))[-1]
    return _DENIED_CLAUSE.search(clause) is not None


def correction(text: str, start: int) -> Correction:
    """Return how a cue is introduced as a correction: "No wait, the answer is C"; empty if it is not."""
    match = _CORRECTION_BEFORE.search(text, max(0, start - 60), start) if start else None
    return _kind(match.group()) if match else ""


def _kind(correcting: str) -> Correction:
    words = re.findall(r"[^\W_]+", correcting.lower())
    return "word" if set(words) & _CORRECTING_WORDS else "no"
