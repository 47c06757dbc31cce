r"""Read the letter of a multiple-choice answer.

Rules collect claims; `standing` weighs them. One answer is read if every claim that stands names it and nothing takes
it back. The rules, each a function below:

| Rule | Reads |
|---|---|
| `bare` | a line that holds nothing but a letter or, first or last, an option's text: `(B)`, `**B.**`, `option B`, `a pear` |
| `leading` | an answer that begins with a letter and a mark, or an option's text and a full stop: `B. It is green` |
| `last_sentence` | a letter alone in the last sentence: `I see a pear. B.` |
| `boxed` | `\boxed{B}` |
| `answer_is`, `chosen`, `concluded`, `copula`, `corrected`, `not_but` and two in Chinese | "the answer is B", "I choose B", "so B", ... |
| `predicate` | "B is correct", "B is the right answer", "选项B正确" |

A list of options that is repeated back claims nothing. Negations are never claims, because no rule accepts one between
its cue and the letter; what they deny contradicts a claim of the same letter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from oqvl_eval.reading.claim import Claim, standing
from oqvl_eval.reading.declaration import cues, is_correction, is_denied
from oqvl_eval.reading.normalisation import CJK, WORD, NormalText
from oqvl_eval.reading.phrase import Options, Phrase, lowered, name_of_text, parse_phrase, prepare
from oqvl_eval.reading.reading import Reading
from oqvl_eval.reading.refusal import first_doubt, refusals
from oqvl_eval.reading.scope import answer_scope

_CACHED_LENGTH = 256  # longer answers are not kept in the cache

_BARE = re.compile(r"[ \n]{0,4}[(\[]?([A-Z])[)\]]?[.:,]?[ \n]{0,4}")
_LEAD = re.compile(
    r"(?:(?:either|both|maybe|perhaps|probably|possibly|likely|sure|okay|ok|well|certainly|yes)[,!:]? |[-=]?> ?){0,2}", re.IGNORECASE
)
_MARKED = re.compile(rf"(?:(?<=\n)|\A|(?<=[.!?;,)] )|(?<=[{CJK}a-z0-9] ))[(\[]?([A-Z])[.):\]] ?(?=[^\s.,;])")
_LONE_CAPITAL = re.compile(r"[(\[]?[A-Z](?![A-Za-z])")
_HEADER = re.compile(
    r"\n(?:(?:the )?(?:explanation|reason|reasoning|analysis|rationale|justification|why)|\u89e3\u6790|\u5206\u6790|\u7406\u7531|\u89e3\u91ca|\u539f\u56e0)(?![A-Za-z])",
    re.IGNORECASE,
)
_BOXED = re.compile(r"\\f?boxed ?\{([^{}\n]{0,400})\}")
_LAST_SENTENCE = re.compile(r"[.!?:] (?=[(\[\"'{<]{0,2}[A-Z][)\]\"'}>]{0,2}[.!]?\Z)")
_PREDICATE = re.compile(
    rf"(?<!{WORD})(?:option |choice |answer |\u9009\u9879)?[(\[\"']{{0,2}}(?P<letter>[A-Z])[)\]\"']{{0,2}}(?:"
    r" (?:is|would be|must be|seems) (?:the |clearly |definitely |indeed |most likely ){0,2}"
    rf"(?:(?:correct|right|best|most appropriate|final)(?: (?:answer|option|choice|one))?|answer)(?= ?(?:[.!;,\n]|\Z)|{WORD}{{0}} (?:because|since|as)\b)"
    r"|(?:\u9009\u9879|\u9879)? ?(?:\u662f|\u4e3a)?(?:\u6b63\u786e|\u5bf9)(?:\u7684|\u7b54\u6848|\u9009\u9879)?(?:\u7b54\u6848)?(?= ?(?:[.!;,\n]|\Z))"
    r")",
)
_NAMED = rf"(?:the )?(?:option |choice |answer |letter |\u9009\u9879|\u7b54\u6848)?[(\[\"']?(?P<letter>[A-Z])(?!{WORD}|['_-]{WORD})"
_DENIALS = (
    re.compile(
        rf"(?:(?<!{WORD})(?:not|nor|neither|rules? out|ruled out|ruling out|eliminates?|eliminated|excludes?|excluded|cannot be|can't be|never)"
        rf"|n't|\u4e0d\u662f|\u4e0d\u9009|\u6392\u9664|\u800c\u975e) ?{_NAMED}(?=[)\]\"']{{0,2}} ?(?:[.,;!?\n)]|\Z|(?:or|nor|and|but|so|because)(?!{WORD})|[{CJK}]))",
    ),
    re.compile(
        rf"(?<!{WORD}){_NAMED}[)\]\"']{{0,2}} ?(?:(?:is|are|was|were|seems?|looks?|isn't|cannot be|can't be|would be)(?: \w{{1,20}}){{0,1}} "
        r"(?:not|wrong|incorrect|false|impossible|ruled out)(?![A-Za-z])|(?:is|are|was|would|does|do|can|could)(?: not|n't)(?![A-Za-z])"
        r"|(?:is )?(?:wrong|incorrect|false)(?![A-Za-z])"
        r"|(?:\u9009\u9879|\u9879)?(?:\u662f|\u4e3a)?(?:\u9519|\u4e0d\u5bf9|\u4e0d\u6b63\u786e|\u4e0d\u7b26|\u6709\u8bef))",
    ),
)
_TAKEN_BACK = re.compile(
    r"[.!,;:\s)\]\"'}-]{0,6}(?:(?:no|nope|not|\u4e0d)(?:, wait)?(?=[.!?\n]|\Z)|(?:no|nope),? (?:it|that|this)(?: is not|'s not| isn't)(?![A-Za-z])"
    r"|(?:no,? )?(?:which |that |this |it )?(?:is |was |'s |would be )?(?:clearly |obviously )?(?:wrong|incorrect|false|not (?:correct|right|true))(?![A-Za-z])"
    r"|\u4e0d\u5bf9|\u9519\u4e86)",
    re.IGNORECASE,
)
_ALTERNATIVE = re.compile(
    rf"(?:\A|[.,;:!?\n(-]) ?(?:(?:or|and|but) )?(?:or|maybe|perhaps|alternatively|otherwise|else|possibly|also|\u6216\u8005?|\u4e5f\u53ef\u80fd\u662f?)(?: (?:maybe|perhaps|possibly|even))?,? ?(?=[(\[A-Z])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Sheet:
    """What the rules read: the normalised text, the same in lower case, the options."""

    text: str
    low: str
    options: Options
    listed: tuple[int, ...] = ()

    def parse(self, start: int, ending: str) -> Phrase | None:
        return parse_phrase(self.text, self.low, start, self.options, ending)  # type: ignore[arg-type]


def read_choice(output: str, options: Mapping[str, str]) -> Reading:
    """Read which option an output chooses.

    Args:
        output: The model's output, reasoning included.
        options: The text of each option by its letter, a capital from A to Z.

    Returns:
        The reading; `answer` is a letter of `options`.

    Example:
        >>> read_choice("The answer is (B) because it barks.", {"A": "a cat", "B": "a dog"}).answer
        'B'
    """
    entries = tuple(options.items())
    return _read_cached(output, entries) if len(output) <= _CACHED_LENGTH else _read(output, entries)


def _read(output: str, entries: tuple[tuple[str, str], ...]) -> Reading:
    options = prepare(entries)
    bare = _BARE.fullmatch(output)
    if bare and not options.has_short_texts:
        letter = bare.group(1)
        return Reading("read", letter, "bare", bare.span(1)) if letter in options.letters else Reading("unread", "", "not_an_option")
    scope = answer_scope(output)
    return scope if isinstance(scope, Reading) else _decide(scope, options)


_read_cached = lru_cache(maxsize=1 << 18)(_read)


def _decide(scope: NormalText, options: Options) -> Reading:
    """Weigh the claims of a text."""
    sheet = _Sheet(scope.text, lowered(scope.text), options)
    listed = _listed_options(sheet)
    sheet = _Sheet(sheet.text, sheet.low, options, listed)
    claims = standing(claim for rule in RULES for claim in rule(sheet))
    if not claims:
        if listed:
            return Reading("unread", "", "options_repeated")
        for start, end in refusals(sheet.text):
            return Reading("refused", "", "refusal", scope.span(start, end))
        return Reading("unread", "", "no_rule")
    first = claims[0]
    letters = frozenset(letter for claim in claims for letter in claim.answers)
    if len(letters) > 1:
        return Reading("ambiguous", "", "several_answers")
    (letter,) = letters
    objection = _objection(sheet, claims, letter)
    if objection:
        return Reading("ambiguous", "", objection)
    if letter not in options.letters:
        return Reading("unread", "", "not_an_option", scope.span(first.start, first.end))
    return Reading("read", letter, first.rule, scope.span(first.start, first.end))


def _bare_lines(sheet: _Sheet) -> Iterator[Claim]:
    """A line that is nothing but a name: a letter on any line, an option's text on the first or the last.

    Example: `(B)`, `b.`, `Option B`, `B. a pear`, `a pear`.
    """
    starts = _line_starts(sheet.text)
    for start in starts:
        lead = _LEAD.match(sheet.text, start)
        phrase = sheet.parse(lead.end() if lead else start, "line")
        if phrase is None or phrase.start in sheet.listed:
            continue
        if phrase.num_letters or start in (starts[0], starts[-1]):
            yield Claim(phrase.start, phrase.end, phrase.letters, "bare" if phrase.num_letters else "option_text")


def _leading(sheet: _Sheet) -> Iterator[Claim]:
    """The answer begins with a letter and a mark, or with an option's text that ends a sentence or gives a reason.

    Example: `B. It is green`, `(B) it is green`, `B because it is green`, `A pear. It is green`.
    """
    phrase = sheet.parse(0, "leading")
    if phrase is None or 0 in sheet.listed:
        return
    if phrase.num_letters == 0:
        yield Claim(0, phrase.end, phrase.letters, "leading_text")
    elif phrase.is_marked or sheet.text.find("\n", phrase.end) == phrase.end:
        yield Claim(0, phrase.end, phrase.letters, "leading")


def _last_sentence(sheet: _Sheet) -> Iterator[Claim]:
    """The last sentence is a letter.

    Example: `It is green. B.`
    """
    start = max(0, len(sheet.text) - 12)
    for match in _LAST_SENTENCE.finditer(sheet.text, start):
        phrase = sheet.parse(match.end(), "line")
        if phrase is not None:
            yield Claim(phrase.start, phrase.end, phrase.letters, "last_sentence")


def _boxed(sheet: _Sheet) -> Iterator[Claim]:
    r"""A box holds a name and nothing else, or a name and what explains it.

    Example: `\boxed{B}`, `\boxed{B. a pear}`.
    """
    for match in _BOXED.finditer(sheet.text):
        if is_denied(sheet.text, match.start()):
            continue
        phrase = parse_phrase(match.group(1), lowered(match.group(1)), 0, sheet.options, "leading")
        if phrase is not None:
            corrects = is_correction(sheet.text, match.start())
            yield Claim(match.start(), match.end(), phrase.letters, "boxed", is_correction=corrects)


def _declared(sheet: _Sheet) -> Iterator[Claim]:
    """A cue introduces a name; a small letter without brackets only after a strong one.

    Example: "The answer is B", "answer: b", "so (B)", "I choose the pear", "故选B".
    """
    for cue in cues(sheet.text):
        phrase = sheet.parse(cue.end, cue.strength)
        if phrase is None:
            continue
        if not phrase.is_marked and (cue.strength == "weak" or not _SMALL_ENDS.match(sheet.text, phrase.end)):
            continue
        yield Claim(cue.start, phrase.end, phrase.letters, cue.rule, cue.is_final, cue.is_correction)


_SMALL_ENDS = re.compile(r" ?(?:\Z|[.,;:!)\]}](?=\s|\Z)|\n(?![a-z]))")


def _predicate(sheet: _Sheet) -> Iterator[Claim]:
    """A letter is called the answer.

    Example: "B is correct because it is green", "B is the right answer", "选项B正确".
    """
    for match in _PREDICATE.finditer(sheet.text):
        if not is_denied(sheet.text, match.start()):
            corrects = is_correction(sheet.text, match.start())
            yield Claim(match.start(), match.end(), frozenset(match["letter"]), "predicate", is_correction=corrects)


RULES: tuple[Callable[[_Sheet], Iterator[Claim]], ...] = (_bare_lines, _leading, _last_sentence, _boxed, _declared, _predicate)
"""The rules, in the order in which they are tried; the earliest claim in the text names the reading's rule."""


def _objection(sheet: _Sheet, claims: list[Claim], letter: str) -> str:
    """Return the name of what takes a single answer back: a denial, a doubt, an alternative; empty if nothing does."""
    text = sheet.text
    for pattern in _DENIALS:
        if any(match["letter"] == letter for match in pattern.finditer(text, claims[0].start)):
            return "denied"
    if any(_TAKEN_BACK.match(text, claim.end) for claim in claims):
        return "taken_back"
    if first_doubt(text, claims[0].start, claims[0].end):
        return "doubt"
    for match in _ALTERNATIVE.finditer(text):
        phrase = sheet.parse(match.end(), "weak")
        if phrase is not None and phrase.is_marked and not phrase.letters <= {letter}:
            return "alternative"
    return ""


def _line_starts(text: str) -> list[int]:
    return [0, *(match.end() for match in re.finditer("\n", text))]


def _listed_options(sheet: _Sheet) -> tuple[int, ...]:
    """Return where options are listed: at least two different letters, each with a mark and a text of its own.

    On a line of its own, a letter with any text is listed; within a line, with the option's text, or where a sentence
    begins. Nothing after a heading such as `Explanation:` counts, unless options are listed before it too.
    """
    header = _HEADER.search(sheet.text)
    found: list[tuple[int, str]] = []
    for match in _MARKED.finditer(sheet.text, 0, header.start() if header else len(sheet.text)):
        letter = match.group(1)
        begins = match.start() == 0 or sheet.text[match.start() - 1] == "\n" or sheet.text[match.start() - 2] in ".!?;"
        text = name_of_text(sheet.low, match.end(), sheet.options)
        if (text is not None and letter in text[1]) or (begins and not _LONE_CAPITAL.match(sheet.text, match.end())):
            found.append((match.start(), letter))
    return tuple(start for start, _ in found) if len({letter for _, letter in found}) > 1 else ()
