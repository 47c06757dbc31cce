"""Read yes or no.

| Rule | Reads |
|---|---|
| `bare` | a line that holds nothing but a word for yes or no: `Yes.`, `(no)`, `是的` |
| `leading` | a sentence that begins with one: "No, there is no dog", "Yes because", "不,没有狗" |
| `answer_is` and the other cues | "the answer is yes", "I would say no", "答案是否" |

A sentence that only implies an answer ("There is a dog", "There is no dog") is unread: what it means depends on the
question. "No" before a noun is an article ("No dog is here"), and "not" is never an answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from oqvl_eval.reading.claim import Claim, standing
from oqvl_eval.reading.declaration import Strength, declared
from oqvl_eval.reading.normalisation import CJK, WORD
from oqvl_eval.reading.phrase import lowered
from oqvl_eval.reading.reading import Reading
from oqvl_eval.reading.refusal import first_doubt, refusals
from oqvl_eval.reading.scope import answer_scope

_YES = ("yes", "yeah", "yep", "yup", "true", "correct", "affirmative")
_NO = ("no", "nope", "nah", "false", "incorrect", "negative")
# 是的 是 对的 对 有的 有 存在 正确 没错 | 不是的 不是 不对 不存在 不正确 没有 没 否 不 错误 错 无
_YES_CHINESE = (
    "是的",
    "没错",
    "是",
    "对的",
    "对",
    "有的",
    "有",
    "存在",
    "正确",
)
_NO_CHINESE = (
    *(
        "不是的",
        "不是",
        "不对",
        "不存在",
        "不正确",
        "没有",
        "没",
    ),
    *("否", "不", "错误", "错", "无"),
)
_ANSWERS = {**dict.fromkeys((*_YES, *_YES_CHINESE), "yes"), **dict.fromkeys((*_NO, *_NO_CHINESE), "no")}

_ANY = "|".join(sorted(_ANSWERS, key=len, reverse=True))
_OPENING, _CLOSING = r"[(\[{<\"'#]{0,4}", r"[)\]}>\"'#]{0,4}"
_WORD = re.compile(rf"{_OPENING}(?P<word>{_ANY})(?!{WORD}|['_-]{WORD}){_CLOSING}")
_JOIN = re.compile(rf" ?(?:[,/&|;.-]|(?:and|or|nor)(?!{WORD})|[和或]|还是){{0,2}} ?(?:(?:and|or)(?!{WORD}) ?)?")
_ENDS_LINE = re.compile(r" ?[.,;:!)\]}*\"'-]{0,4} ?(?:\n|\Z)")
_ENDS_WORD = re.compile(
    rf" ?(?:\Z|\n|[.!;](?=[\s\"')\]}}.]|\Z|[{CJK}])(?! ?\d)|[,:)](?!\d)|-{{1,3}}(?=\s|\Z)|[(\[])"
    r"| (?:because|since|as|there|it|this|that|these|those|he|she|they|we|i|you|the)(?![a-z-])"
)
_BEGINS_SENTENCE = re.compile(r"\A|(?<=\n)|(?<=[.!?;] )|(?<=[.!?;][)\"'] )|(?<=\.)(?=[\u2e80-\u9fff])")
_LEAD = re.compile(
    r"(?:(?:well|ok|okay|oh|so|um|hmm|overall|therefore|thus|hence|sure|certainly|probably|maybe)[,.:!]? ){0,2}"
)
_BOXED = re.compile(r"\\(?:boxed|fbox) ?\{([^{}\n]{0,80})\}")
_COUNTER = re.compile(
    r"(?:,? but|,? yet|,? however)? ?,? ?(?:actually |there |it |this |that |he |she |they )?"
    r"(?:is|are|was|were|do|does|has|have|can|did)(?:n't| not| no)(?![a-z])|,? but (?:not|no)(?![a-z])"
)


def read_yes_no(output: str) -> Reading:
    """Read whether an output says yes or no.

    Args:
        output: The model's output, reasoning included.

    Returns:
        The reading; `answer` is `yes` or `no`.

    Example:
        >>> read_yes_no("No, there is no dog in the picture.").answer
        'no'
    """
    scope = answer_scope(output)
    if isinstance(scope, Reading):
        return scope
    text = lowered(scope.text)
    claims = standing(claim for rule in RULES for claim in rule(text))
    if not claims:
        for start, end in refusals(text):
            return Reading("refused", "", "refusal", scope.span(start, end))
        return Reading("unread", "", "no_rule")
    first = claims[0]
    span = scope.span(first.start, first.end)
    answers = frozenset(answer for claim in claims for answer in claim.answers)
    if len(answers) > 1:
        return Reading("ambiguous", "", "several_answers", span)
    if first_doubt(text, first.start, first.end):
        return Reading("ambiguous", "", "doubt", span)
    (answer,) = answers
    if answer == "yes" and any(_COUNTER.match(text, claim.end) for claim in claims):
        return Reading("ambiguous", "", "contradicted", span)
    return Reading("read", answer, first.rule, span)


def _bare_lines(text: str) -> Iterator[Claim]:
    """A line that is nothing but a word for yes or no, or several of them.

    Example: `Yes.`, `(no)`, `yes/no`, `没有`.
    """
    for start in (0, *(match.end() for match in re.finditer("\n", text))):
        yield from _claims_at(text, _after_lead(text, start), _ENDS_LINE, "bare", start=start)


def _leading(text: str) -> Iterator[Claim]:
    """A sentence begins with a word for yes or no and a pause, a reason or a pronoun.

    Example: "No, there is no dog", "Yes it is", "不,没有狗".
    """
    for match in _BEGINS_SENTENCE.finditer(text):
        yield from _claims_at(text, _after_lead(text, match.end()), _ENDS_WORD, "leading", start=match.end())


def _declared(text: str) -> Iterator[Claim]:
    """A cue introduces a word for yes or no.

    Example: "The answer is yes", "I would say no", "答案是否".
    """

    def parse(start: int, rule: str, _strength: Strength) -> Claim | None:
        return None if rule == "copula" else next(_claims_at(text, start, _ENDS_WORD, rule, start=start), None)

    for cue, claim in declared(text, parse):
        # "It is true" judges a statement, and "no" corrects nothing where it is an answer itself.
        if cue.rule != "corrected" or cue.correction == "word":
            yield Claim(cue.start, claim.end, claim.answers, cue.rule, cue.is_final, cue.correction == "word")


def _boxed(text: str) -> Iterator[Claim]:
    r"""A box holds a word for yes or no.

    Example: `\boxed{yes}`.
    """
    for match in _BOXED.finditer(text):
        for claim in _claims_at(match.group(1), 0, _ENDS_WORD, "boxed", start=0):
            yield Claim(match.start(), match.end(), claim.answers, claim.rule)


RULES: tuple[Callable[[str], Iterator[Claim]], ...] = (_bare_lines, _leading, _declared, _boxed)
"""The rules, in the order in which they are tried."""


def _after_lead(text: str, start: int) -> int:
    lead = _LEAD.match(text, start)
    return lead.end() if lead else start


def _claims_at(text: str, position: int, ending: re.Pattern[str], rule: str, start: int) -> Iterator[Claim]:
    """Yield what the words at a place claim, up to the last after which the phrase may end."""
    words: list[tuple[int, str]] = []
    while len(words) < 8:
        match = _WORD.match(text, position)
        if match is None:
            break
        words.append((match.end(), _ANSWERS[match["word"]]))
        join = _JOIN.match(text, match.end())
        position = join.end() if join else match.end()
        if position == match.end():
            break  # "是否" and "是不是" are words of their own
    while words:
        if ending.match(text, words[-1][0]) and not text.startswith("?", words[-1][0]):
            yield Claim(start, words[-1][0], frozenset(answer for _, answer in words), rule)
            return
        words.pop()
