"""Parse a phrase that names options: `B`, `(B) a pear`, `the pear`, `B and the dog`, `A, C or D`.

The parser starts at a given place, takes as many names as are joined there, and stops at the last one after which the
phrase may end. It knows nothing of declarations or of lines; `oqvl_eval.reading.choice` decides where to start.
All letters are treated alike. Whether `A` or `I` is a letter or an English word follows from what comes after it: a
name must be followed by punctuation, a line break, another name, or a word that never follows an article.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from oqvl_eval.reading.normalisation import CJK, WORD, normalise

Ending = Literal["strong", "weak", "line", "leading"]
"""What must follow a phrase: see `ENDINGS`."""

_MAX_NAMES = 32  # names in one phrase; more than there are letters

_LETTER = re.compile(
    rf"(?:(?:(?:the )?(?:option|choice|answer|letter)(?![A-Za-z])|选项|答案) ?:? ?)?(?P<opening>[(\[{{<#\"']{{0,4}}) ?"
    rf"(?P<letter>[A-Za-z])(?!{WORD}|['_-]{WORD})(?P<closing> ?[)\]}}>#\"']{{1,4}}(?!{WORD}{WORD})|)(?:项|选项)?",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"[\"'(]{0,3}(?:(?:an?|the) )?", re.IGNORECASE)
_JOIN = re.compile(
    rf" ?(?:(?:[.,;:/&|+()\[-]|and/or(?!{WORD})|(?:and|or|both|nor|plus)(?!{WORD})|[和或与及]|还是) ?){{0,4}}",
    re.IGNORECASE,
)
_TEXT_GOES_ON = re.compile(rf"[\w%\u00b0]|[-'.,:/]{WORD}")
_TEXT_CLOSE = re.compile(r"[\"')\]]{0,3}")

_STOP = rf"[.!;](?=[\s\"')\]}}.]|\Z|[{CJK}])"
_BECAUSE = r"(?:,? ?(?:because|since)(?![A-Za-z])|,? ?[因由])"
_CONNECTIVE = (
    r",? (?:because|since|as|due|for|given|based|which|where|with|in|on|at|from|by|but|not|rather|instead|when|while"
    r"|so|considering|according|of course|and (?:it|this|that|not|here|the (?:reason|explanation)))(?![A-Za-z])"
)
ENDINGS: dict[Ending, re.Pattern[str]] = {
    # After "the answer is": punctuation, a dash, a bracket, a connective, Chinese text.
    "strong": re.compile(
        rf" ?(?:\Z|\n|{_STOP}|[,:)\]}}](?!\d)|-{{1,3}}(?=\s|\Z)|[(\[]|(?![型级类的])[{CJK}])|{_CONNECTIVE}",
        re.IGNORECASE,
    ),
    # After "so" or "it is": the phrase ends a sentence or gives its reason.
    "weak": re.compile(rf" ?(?:\Z|\n|{_STOP})|{_BECAUSE}", re.IGNORECASE),
    # The phrase is all there is on its line.
    "line": re.compile(r" ?[.,;:!)\]}*\"'-]{0,4} ?(?:\n|\Z)"),
    # At the start of the answer: `B. text`, `B) text`, `B: text`, `B - text`, `B because`.
    "leading": re.compile(
        rf" ?(?:{_STOP}|[:)](?!\d)|-{{1,3}}(?=\s|\Z)|\n|\Z)"
        rf"|,? (?:due to|given|based on|as(?! an? | your))(?![A-Za-z])|{_BECAUSE}",
        re.IGNORECASE,
    ),
}
"""What may follow a phrase, by where it is. A question mark never may: "the answer is A?" claims nothing."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one question, prepared.

    Args:
        letters: The letters that are options.
        texts: The options' normal texts, longest first, each with the letters that have it.
        has_short_texts: Whether an option's text is as short as a letter.
    """

    letters: frozenset[str]
    texts: tuple[tuple[str, frozenset[str]], ...]
    has_short_texts: bool


@dataclass(frozen=True, slots=True)
class Phrase:
    """Options that are named together.

    Args:
        start: Where the phrase begins.
        end: Where it ends.
        letters: The letters of what it names; letters without an option too.
        num_letters: How many of its names are letters; 0 if it names options by their text alone.
        is_marked: Its first letter is in brackets, or is a capital.
    """

    start: int
    end: int
    letters: frozenset[str]
    num_letters: int
    is_marked: bool


class _Name(NamedTuple):
    end: int
    letters: frozenset[str]
    is_letter: bool
    is_marked: bool


@lru_cache(maxsize=65536)
def prepare(options: tuple[tuple[str, str], ...]) -> Options:
    """Prepare the options of a question.

    Args:
        options: (letter, text) of each.
    """
    by_text: dict[str, set[str]] = {}
    for letter, text in options:
        canonical = _canonical(text)
        if canonical:
            by_text.setdefault(canonical, set()).add(letter)
    texts = sorted(by_text.items(), key=lambda entry: (-len(entry[0]), entry[0]))
    return Options(
        letters=frozenset(letter for letter, _ in options),
        texts=tuple((text, frozenset(names)) for text, names in texts),
        has_short_texts=any(len(text) <= 3 for text, _ in texts),
    )


def prepared(options: Mapping[str, str]) -> Options:
    """Prepare options given as a mapping."""
    return prepare(tuple(options.items()))


def lowered(text: str) -> str:
    """Return a text in lower case, of the same length."""
    low = text.lower()
    if len(low) == len(text):
        return low
    return "".join(small if len(small := character.lower()) == 1 else character for character in text)


def parse_phrase(text: str, low: str, start: int, options: Options, ending: Ending) -> Phrase | None:
    """Parse the names at a place.

    Args:
        text: The normalised text.
        low: The same in lower case.
        start: Where the phrase begins.
        options: The options.
        ending: What must follow the phrase.

    Returns:
        The longest phrase after which the text may go on as `ending` says; None if there is none.

    Example:
        >>> options = prepared({"A": "cat", "B": "dog"})
        >>> sorted(parse_phrase("A and the dog", "a and the dog", 0, options, "line").letters)
        ['A', 'B']
    """
    names: list[_Name] = []
    position = start
    while len(names) < _MAX_NAMES:
        name = _name(text, low, position, options, is_first=not names)
        if name is None:
            break
        names.append(name)
        join = _JOIN.match(text, name.end)
        position = join.end() if join else name.end
    while names:
        phrase = _phrase(start, names)
        if _may_end(text, names[-1], ending):
            return phrase
        names.pop()
    return None


def name_of_text(low: str, start: int, options: Options) -> tuple[int, frozenset[str]] | None:
    """Return where the option text at a place ends and which letters have it; the longest text wins."""
    article = _ARTICLE.match(low, start)
    for position in (article.end() if article else start, start):
        for text, letters in options.texts:
            if low.startswith(text, position) and not _TEXT_GOES_ON.match(low, position + len(text)):
                return position + len(text), letters
    return None


def _canonical(text: str) -> str:
    normal = lowered(normalise(text).text).replace("\n", " ").strip(" \"'").rstrip(".,;: ")
    return re.sub(r"\A(?:an?|the) (?=.)", "", normal) or lowered(text.strip())


def _name(text: str, low: str, start: int, options: Options, *, is_first: bool) -> _Name | None:
    """Parse one name: the text of an option if there is one, else a letter, both if the text is a letter."""
    if is_first and (start and text[start - 1].isalnum() and text[start - 1].isascii()):
        return None
    found = name_of_text(low, start, options)
    match = _LETTER.match(text, start)
    if found and (match is None or found[0] > match.end("letter")):
        end = _TEXT_CLOSE.match(low, found[0])
        # "A dog" begins a line; "the answer is A dog" names the letter too, because an article would be small there.
        is_letter = text.startswith("A ", start) and start > 0 and text[start - 1] != "\n"
        letters = found[1] | {"A"} if is_letter and "A" not in found[1] else found[1]
        return _Name(end.end() if end else found[0], letters, is_letter=False, is_marked=True)
    if match is None:
        return None
    letters = frozenset(match["letter"].upper())
    is_bracketed = bool(match["opening"].strip("\"'")) and bool(match["closing"])
    is_marked = is_bracketed or match["letter"].isupper()
    return _Name(match.end(), letters | (found[1] if found else frozenset()), True, is_marked)


def _phrase(start: int, names: list[_Name]) -> Phrase:
    letters = names[0].letters
    for name in names[1:]:
        # A letter and its own text are one name, however it is punctuated.
        letters = letters if letters & name.letters else letters | name.letters
    return Phrase(start, names[-1].end, letters, sum(name.is_letter for name in names), names[0].is_marked)


def _may_end(text: str, name: _Name, ending: Ending) -> bool:
    after = ENDINGS[ending].match(text, name.end)
    if after is not None:
        return not text.startswith("?", after.end())
    # `(B) text` and `B) text`: the bracket has done what punctuation does elsewhere.
    return (
        ending == "leading"
        and name.is_letter
        and text[name.end - 1 : name.end] in (")", "]")
        and text[name.end : name.end + 1] == " "
    )
