"""What takes a chosen option back: a denial, a doubt, an alternative."""

from __future__ import annotations

import re
from collections.abc import Sequence

from oqvl_eval.reading.choice_rules import Sheet
from oqvl_eval.reading.claim import Claim
from oqvl_eval.reading.normalisation import CJK, WORD
from oqvl_eval.reading.refusal import first_doubt

_NAMED = (
    r"(?:the )?(?:option |choice |answer |letter |选项|答案)?[(\[\"']?"
    rf"(?P<letter>[A-Z])(?!{WORD}|['_-]{WORD})[)\]\"']{{0,2}}"
)
# not B | isn't B | rules out B | 不是B
_DENIED_BEFORE = re.compile(
    rf"(?i:(?<!{WORD})(?:not|nor|neither|never|rules? out|ruled out|ruling out|eliminates?|eliminated|excludes?"
    rf"|excluded|cannot be|can't be)|n't|不是|不选|排除|而非) ?{_NAMED}"
    rf"(?= ?(?:[.,;!?\n)]|\Z|(?:or|nor|and|but|so|because)(?!{WORD})|[{CJK}]))"
)
# B is wrong | B is clearly not | B isn't | B选项错误; not "I cannot", which is a person
_DENIED_AFTER = re.compile(
    rf"(?<!{WORD}){_NAMED} ?(?:"
    r"(?:is|are|seems|looks|would be)(?: \w{1,20})?"
    r" (?:not|wrong|incorrect|false|impossible|ruled out)(?![A-Za-z])"
    r"|(?:is|are)(?: not|n't)(?![A-Za-z])"
    r"|(?:is )?(?:wrong|incorrect|false)(?![A-Za-z])"
    r"|(?:选项|项)?(?:是|为)?(?:错|不对|不正确|不符|有误))"
)
# B. No. | B, no, that is wrong | B is false
_TAKEN_BACK = re.compile(
    r"[.!,;:\s)\]\"'}-]{0,6}(?:"
    r"(?:no|nope|not|不)(?:, wait)?(?=[.!?\n]|\Z)|(?:no|nope),? (?:it|that|this)(?: is not|'s not| isn't)(?![A-Za-z])"
    r"|(?:no,? )?(?:which |that |this |it )?(?:is |was |'s |would be )?(?:clearly |obviously )?"
    r"(?:wrong|incorrect|false|not (?:correct|right|true))(?![A-Za-z])"
    r"|不对|错了)",
    re.IGNORECASE,
)
# or maybe C | otherwise C
_ALTERNATIVE = re.compile(
    r"(?:\A|[.,;:!?\n(-]) ?(?:(?:or|and|but) )?"
    r"(?:or|maybe|perhaps|alternatively|otherwise|else|possibly|also|或者?|也可能是?)"
    r"(?: (?:maybe|perhaps|possibly|even))?,? ?(?=[(\[A-Z])",
    re.IGNORECASE,
)


def objection(sheet: Sheet, claims: Sequence[Claim], letter: str) -> str:
    """Return the name of what takes a letter back that all claims agree on; empty if nothing does.

    - `denied`: the letter is denied after its first claim: "B. It is not B".
    - `taken_back`: a claim is called wrong right after it: "B. No.", "The answer is B, which is wrong".
    - `doubt`: the model does not know, and says so before the answer or in its sentence; see `first_doubt`.
    - `alternative`: another letter is offered: "B, or maybe C".
    """
    text, first = sheet.text, claims[0]
    for pattern in (_DENIED_BEFORE, _DENIED_AFTER):
        if any(match["letter"] == letter for match in pattern.finditer(text, first.start)):
            return "denied"
    if any(_TAKEN_BACK.match(text, claim.end) for claim in claims):
        return "taken_back"
    if first_doubt(text, first.start, first.end):
        return "doubt"
    for match in _ALTERNATIVE.finditer(text):
        phrase = sheet.parse(match.end(), "weak")
        if phrase is not None and phrase.is_marked and not phrase.letters <= {letter}:
            return "alternative"
    return ""
