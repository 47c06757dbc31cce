r"""The rules that find in a text which options it chooses.

Each rule is a function from a `Sheet` to the claims it finds; `RULES` has them in order. A rule reads a place where an
answer can be: a whole line, the beginning, the last sentence, a box, after a cue, before a predicate. Mentions
anywhere else are no claims. Negations are never claims, because no rule accepts one between its cue and the letter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from oqvl_eval.reading.claim import Claim
from oqvl_eval.reading.declaration import Strength, correction, declared, is_denied
from oqvl_eval.reading.normalisation import CJK, WORD
from oqvl_eval.reading.phrase import Ending, Options, Phrase, lowered, name_of_text, parse_phrase

_LEAD = re.compile(
    r"(?:(?:either|both|maybe|perhaps|probably|possibly|likely|sure|okay|ok|well|certainly|yes)[,!:]? |[-=]?> ?){0,2}",
    re.IGNORECASE,
)
_LAST_SENTENCE = re.compile(r"[.!?:] (?=[(\[\"'{<]{0,2}[A-Z][)\]\"'}>]{0,2}[.!]?\Z)")
_BOXED = re.compile(r"\\(?:boxed|fbox) ?\{([^{}\n]{0,400})\}")
_SMALL_ENDS = re.compile(r" ?(?:\Z|[.,;:!)\]}](?=\s|\Z)|\n(?![a-z]))")

_CALLED = r"(?:option |choice |answer |选项)?[(\[\"']{0,2}(?P<letter>[A-Z])[)\]\"']{0,2}"
_PREDICATE = re.compile(
    rf"(?<!{WORD})(?<!and )(?<!or )(?<!& ){_CALLED}(?:"
    r" (?:is|would be|must be|seems) (?:the |clearly |definitely |indeed |most likely ){0,2}"
    r"(?:(?:correct|right|best|most appropriate|final) (?:answer|option|choice)|correct(?: one)?|answer)"
    r"(?= ?(?:[.!;,\n]|\Z)| (?:because|since|as)(?![A-Za-z]))"
    r"|(?:选项|项)? ?(?:是|为)?(?:正确|对)(?:的|答案|选项)?(?:答案)?(?= ?(?:[.!;,\n]|\Z))"
    r")",
)

_MARKED = re.compile(rf"(?:(?<=\n)|\A|(?<=[.!?;,)] )|(?<=[{CJK}a-z0-9] ))[(\[]?([A-Z])[.):\]] ?(?=[^\s.,;])")
_LONE_CAPITAL = re.compile(r"[(\[]?[A-Z](?![A-Za-z])")
_HEADER = re.compile(
    r"\n(?:(?:the )?(?:explanation|reason|reasoning|analysis|rationale|justification|why)"
    r"|解析|分析|理由|解释|原因)(?![A-Za-z])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Sheet:
    """What the rules read.

    Args:
        text: The normalised text.
        low: The same in lower case.
        options: The options.
        listed: Where the text lists options; see `listed_options`.
    """

    text: str
    low: str
    options: Options
    listed: frozenset[int]

    def parse(self, start: int, ending: Ending) -> Phrase | None:
        """Parse the names at a place; see `parse_phrase`."""
        return parse_phrase(self.text, self.low, start, self.options, ending)


def sheet_of(text: str, options: Options) -> Sheet:
    """Return what the rules read of a normalised text."""
    low = lowered(text)
    return Sheet(text, low, options, listed_options(text, low, options))


def _bare_lines(sheet: Sheet) -> Iterator[Claim]:
    """A line that is nothing but a name: a letter on any line, an option's text on the first or the last.

    Example: `(B)`, `b.`, `Option B`, `B. a pear`, `a pear`.
    """
    starts = [0, *(match.end() for match in re.finditer("\n", sheet.text))]
    for start in starts:
        lead = _LEAD.match(sheet.text, start)
        phrase = sheet.parse(lead.end() if lead else start, "line")
        if phrase is None or phrase.start in sheet.listed:
            continue
        if phrase.num_letters or start in (starts[0], starts[-1]):
            yield Claim(phrase.start, phrase.end, phrase.letters, "bare" if phrase.num_letters else "option_text")


def _leading(sheet: Sheet) -> Iterator[Claim]:
    """The answer begins with a letter and a mark, or with an option's text that ends a sentence or gives its reason.

    Example: `B. It is green`, `(B) it is green`, `B because it is green`, `A pear. It is green`.
    """
    phrase = sheet.parse(0, "leading")
    if phrase is None or 0 in sheet.listed:
        return
    if phrase.num_letters == 0:
        yield Claim(0, phrase.end, phrase.letters, "leading_text")
    elif phrase.is_marked:
        yield Claim(0, phrase.end, phrase.letters, "leading")


def _last_sentence(sheet: Sheet) -> Iterator[Claim]:
    """The last sentence is a letter.

    Example: `It is green. B.`
    """
    for match in _LAST_SENTENCE.finditer(sheet.text, max(0, len(sheet.text) - 12)):
        phrase = sheet.parse(match.end(), "line")
        if phrase is not None:
            yield Claim(phrase.start, phrase.end, phrase.letters, "last_sentence")


def _boxed(sheet: Sheet) -> Iterator[Claim]:
    r"""A box holds a name and nothing else, or a name and what explains it.

    Example: `\boxed{B}`, `\boxed{B. a pear}`.
    """
    for match in _BOXED.finditer(sheet.text):
        if is_denied(sheet.text, match.start()):
            continue
        content = match.group(1)
        phrase = parse_phrase(content, lowered(content), 0, sheet.options, "leading")
        if phrase is not None:
            corrects = bool(correction(sheet.text, match.start()))
            yield Claim(match.start(), match.end(), phrase.letters, "boxed", is_correction=corrects)


def _declared(sheet: Sheet) -> Iterator[Claim]:
    """A cue introduces a name; a small letter without brackets only after a strong one, and at the end of its sentence.

    Example: "The answer is B", "answer: b", "so (B)", "I choose the pear", "故选B".
    """

    def parse(start: int, _rule: str, strength: Strength) -> Phrase | None:
        phrase = sheet.parse(start, strength)
        if phrase is None or phrase.is_marked:
            return phrase
        return phrase if strength == "strong" and _SMALL_ENDS.match(sheet.text, phrase.end) else None

    for cue, phrase in declared(sheet.text, parse):
        yield Claim(cue.start, phrase.end, phrase.letters, cue.rule, cue.is_final, bool(cue.correction))


def _predicate(sheet: Sheet) -> Iterator[Claim]:
    """A letter is called the answer.

    Example: "B is correct because it is green", "B is the right answer", "选项B正确".
    """
    for match in _PREDICATE.finditer(sheet.text):
        if not is_denied(sheet.text, match.start()):
            corrects = bool(correction(sheet.text, match.start()))
            yield Claim(match.start(), match.end(), frozenset(match["letter"]), "predicate", is_correction=corrects)


RULES: tuple[Callable[[Sheet], Iterator[Claim]], ...] = (
    _bare_lines,
    _leading,
    _last_sentence,
    _boxed,
    _declared,
    _predicate,
)
"""The rules. All of them are asked, so that one answer cannot hide another."""


def listed_options(text: str, low: str, options: Options) -> frozenset[int]:
    """Return where a text lists options: at least two different letters, each with a mark and a text.

    Where a line or a sentence begins, a letter with any text is listed; elsewhere, one with the text of its option.
    What follows a heading such as `Explanation:` is not searched: it discusses the options one by one.

    Example: `A. an apple B. a pear`, but not `B. a pear`, and not `A. B.`
    """
    header = _HEADER.search(text)
    found: list[tuple[int, str]] = []
    for match in _MARKED.finditer(text, 0, header.start() if header else len(text)):
        start, letter = match.start(), match.group(1)
        name = name_of_text(low, match.end(), options)
        begins = start == 0 or text[start - 1] == "\n" or text[start - 2] in ".!?;"
        if (name is not None and letter in name[1]) or (begins and not _LONE_CAPITAL.match(text, match.end())):
            found.append((start, letter))
    is_list = len({letter for _, letter in found}) > 1
    return frozenset(start for start, _ in found) if is_list else frozenset()
