r"""Read a number.

| Rule | Reads |
|---|---|
| `bare` | a first or last line that holds nothing but a number and its unit: `5`, `-1,200.50`, `about 3 cm`, `three` |
| `leading` | an answer that begins with a number and a full stop or a reason: "5. Because ...", "5 because" |
| `boxed` | `\boxed{5}` |
| `answer_is` and the other cues | "the answer is 5", "x = 5", "答案是5" |
| `only_number` | "There are 5 dogs", "The total is 5" if the answer holds no other number |

What is read: integers and decimals with a point, thousands separated by commas, signs, fractions, scientific notation,
`thousand` to `trillion` and 万, 亿. Units, currencies and percent signs are accepted and not converted: `50%` reads 50.
What is not: ranges and inequalities, times and dates, decimals with a comma, `5k`, `5th`, and `1 000` with a space,
because each can be read in two ways.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from oqvl_eval.reading.claim import Claim, standing
from oqvl_eval.reading.declaration import Strength, declared, is_denied
from oqvl_eval.reading.normalisation import CJK, WORD
from oqvl_eval.reading.reading import Reading
from oqvl_eval.reading.refusal import first_doubt, refusals, sentence_end
from oqvl_eval.reading.scope import answer_scope

_MAX_DIGITS = 40  # of one number; bounds the work, and no benchmark asks for more

_VULGAR: dict[str, Fraction] = {
    character: Fraction(text)
    for character, text in zip(
        "\u00bd\u00bc\u00be\u2153\u2154\u215b\u215c\u215d\u215e\u2155\u2156\u2157\u2158",
        "1/2 1/4 3/4 1/3 2/3 1/8 3/8 5/8 7/8 1/5 2/5 3/5 4/5".split(),
        strict=True,
    )
}
_VULGAR_CLASS = "".join(_VULGAR)
_SUPERSCRIPT = str.maketrans("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b", "0123456789-")
_SCALES = {
    "hundred": 2,
    "thousand": 3,
    "million": 6,
    "billion": 9,
    "trillion": 12,
    "百": 2,
    "千": 3,
    "万": 4,
    "亿": 8,
}

_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_NUMBER_WORDS = {word: value for value, word in enumerate(_WORDS)} | {"hundred": 100, "one hundred": 100}
for _ten, _value_of_ten in zip(_TENS, range(20, 100, 10), strict=True):
    _NUMBER_WORDS[_ten] = _value_of_ten
    _NUMBER_WORDS |= {f"{_ten}{join}{_WORDS[one]}": _value_of_ten + one for one in range(1, 10) for join in "- "}
_NUMBER_WORDS |= dict(zip("零一二三四五六七八九十", range(11), strict=True)) | {"两": 2}

_SIGN = r"(?:(?P<sign>[-+]|(?:minus|negative)\ |负\ ?))?"
_CURRENCY = r"(?:(?:US|A|C|HK)?[$\u20ac\u00a3\u00a5\u20b9\u20a9]\ ?|(?:USD|EUR|GBP|RMB|CNY)\ )?"
_NUMBER = re.compile(
    rf"""{_CURRENCY}{_SIGN}{_CURRENCY}(?:
      \\[dt]?frac\ ?\{{(?P<over>-?\d{{1,12}}+)\}}\ ?\{{(?P<under>\d{{1,12}}+)\}}
    | (?:(?P<whole>\d{{1,9}}+)\ )?(?P<numerator>\d{{1,12}}+)\ ?/\ ?(?P<denominator>\d{{1,12}}+)
    | (?P<vulgar_whole>\d{{0,9}}+)\ ?(?P<vulgar>[{_VULGAR_CLASS}])
    | 10(?:\^\{{?(?P<power>[-+]?\d{{1,2}}+)\}}?|(?P<super_power>\u207b?[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]{{1,2}}+))
    | (?P<plain>(?:\d{{1,3}}(?:,\d{{3}})++(?!\d)|\d{{1,2}}(?:,\d{{2}}(?=,))++,\d{{3}}(?!\d)|\d++)(?:\.\d++)?|\.\d++)
      (?:e(?P<exponent>[-+]?\d{{1,2}}+)|\ ?(?:x|\u00d7|\*|\\times|\\cdot)\ ?10(?:\^\{{?(?P<times>[-+]?\d{{1,2}}+)\}}?
        |(?P<super_times>\u207b?[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]{{1,2}}+)))?
    )(?:\ ?(?P<scale>hundred|thousand|million|billion|trillion|[百千万亿])(?![A-Za-z]))?
    (?!\d|[.,:/^\u2044]\d|[A-Za-z]{{1,9}}\d|-[A-Za-z\d])""",
    re.IGNORECASE | re.VERBOSE,
)
_ABOUT = re.compile(
    r"[(\[{<\"']{0,4}(?:(?:about|approximately|around|roughly|approx\.?|nearly|exactly|only|just|a total of"
    r"|\u2248|~|大?约|一?共) ?)?[\"']?",
    re.IGNORECASE,
)
# x = | 2 + 3 =
_EQUATION = re.compile(r"(?:[A-Za-z][A-Za-z_0-9]{0,10}|[\d .,+*/\u00d7\u00f7x()^%-]{1,80}+) ?= ?")
# Words after a number that are not units: they continue it (k, dozen), compare it (more), or start a clause (is).
_NO_UNIT = (
    r"(?:k|bn|x|th|st|nd|rd|am|pm|dozen|more|less|fewer|than|of|out|or|and|to|plus|minus|times|is|are|was"
    r"|because|since)"
)
_UNIT, _ONE_WORD_UNIT = (
    re.compile(
        rf"(?!(?<=\d{{4}})s(?![A-Za-z])) ?(?:%|per ?cent)?(?: ?(?!(?:{_NO_UNIT}|[KMBTGD])(?![A-Za-z]))"
        r"[A-Za-z$\u20ac\u00a3\u00a5\u00b5\u00b0\u00b2\u00b3\"'/^\u03a9\u2103]{1,20})"
        rf"{{0,{num_words}}} ?(?![{CJK}]{{0,8}}(?:以|多|到|至|或|和|点|分之))[{CJK}]{{0,8}}",
    )
    for num_words in (4, 1)
)
# There are 5 or more
_QUALIFIED = re.compile(
    r" ?(?:(?:k|bn|x|th|st|nd|rd|am|pm|dozen|more|less|fewer|than|out|or|and|to|plus|minus|times|[KMBTGD])(?![A-Za-z])"
    r"|[+\u00b1?])"
)
_JOIN = re.compile(rf" ?(?:[-,/;&~|]|(?:to|or|and|through|vs)(?!{WORD})|[到至或和\u3001])? ?(?:(?:or|and)(?!{WORD}) )?")
_CLOSE = r"[)\]}>\"']{0,4}"
_STOP = rf"[.!;](?=[\s\"')\]}}]|\Z|[{CJK}])"
_REASON = r",? ?(?:because|since|as(?! (?:many|much|few))|因)(?![A-Za-z])"
_ENDS_LINE = re.compile(rf"{_CLOSE} ?[.,;!]{{0,3}} ?(?:\n|\Z)")
_ENDS_LEADING = re.compile(rf"{_CLOSE} ?(?:\n|\Z|{_STOP})|{_REASON}", re.IGNORECASE)
_ENDS_DECLARED = re.compile(
    rf"{_CLOSE} ?(?:\Z|\n|{_STOP}|[,:)\]}}](?!\d)|-{{1,3}}(?=\s|\Z)|[(\[])|{_REASON}"
    r"|,? (?:which|in|on|at|for|from|by|given|based|so|when|where|with|according|not|but)(?![A-Za-z])",
    re.IGNORECASE,
)
_COUNT = re.compile(
    rf"(?<!{WORD})(?:there (?:is|are|was|were)|is|are|was|equals|equal to|total of|see|sees|count|counted|shows?"
    r"|contains?|has|have)"
    r"(?: (?:a total of|equal to))? |= ?|有",
    re.IGNORECASE,
)
_LIST_ITEM = re.compile(r"\n2[.)] ")
_ANY_DIGITS = re.compile(r"\d++(?:[.,/:]\d++)*+")


class _Number(NamedTuple):
    end: int
    values: frozenset[str]


def read_number(output: str) -> Reading:
    """Read the number that an output gives.

    Args:
        output: The model's output, reasoning included.

    Returns:
        The reading; `answer` is a decimal without exponent, separators and trailing zeros (`-1200.5`), or a reduced
        fraction that has no such form (`1/3`).

    Example:
        >>> read_number("The answer is 1,200.50 dollars.").answer
        '1200.5'
    """
    scope = answer_scope(output)
    if isinstance(scope, Reading):
        return scope
    text = scope.text
    claims = standing(claim for rule in RULES for claim in rule(text)) or list(_only_number(text))
    if not claims:
        for start, end in refusals(text):
            return Reading("refused", "", "refusal", scope.span(start, end))
        several = len({match.group() for match in _ANY_DIGITS.finditer(text)}) > 1
        return Reading("ambiguous", "", "several_numbers") if several else Reading("unread", "", "no_rule")
    first = claims[0]
    span = scope.span(first.start, first.end)
    values = frozenset(value for claim in claims for value in claim.answers)
    if len(values) > 1:
        return Reading("ambiguous", "", "several_answers", span)
    if first_doubt(text, first.start, first.end):
        return Reading("ambiguous", "", "doubt", span)
    (value,) = values
    return Reading("read", value, first.rule, span)


def _bare_lines(text: str) -> Iterator[Claim]:
    """The first or the last line is a number, alone or with its unit.

    Example: `5`, `$1,200`, `x = 3.5`, `about 3 cm`, `three`.
    """
    for start in sorted({0, text.rfind("\n") + 1}):
        end = text.find("\n", start)
        line = text[start : end if end >= 0 else len(text)]
        word = _NUMBER_WORDS.get(line.strip(" .!()[]\"'").lower()) if len(line) < 40 else None
        if word is not None:
            yield Claim(start, start + len(line), frozenset([str(word)]), "bare")
        else:
            yield from _claims_at(text, start, _ENDS_LINE, "bare", start, unit=_ONE_WORD_UNIT if start else _UNIT)


def _leading(text: str) -> Iterator[Claim]:
    """The answer begins with a number that ends a sentence or gives its reason; not with the first item of a list.

    Example: "5. I count three and two", "5 because".
    """
    if not (text.startswith(("1.", "1)")) and _LIST_ITEM.search(text)):
        yield from _claims_at(text, 0, _ENDS_LEADING, "leading", 0)


def _boxed(text: str) -> Iterator[Claim]:
    r"""A box holds a number.

    Example: `\boxed{5}`, `\boxed{\frac{1}{2}}`.
    """
    for match in re.finditer(r"\\(?:boxed|fbox) ?\{", text):
        if not is_denied(text, match.start()):
            yield from _claims_at(text, match.end(), re.compile(r" ?\}"), "boxed", match.start())


def _declared(text: str) -> Iterator[Claim]:
    """A cue introduces a number.

    Example: "The answer is 5", "so 5", "答案是5".
    """

    def parse(start: int, rule: str, strength: Strength) -> Claim | None:
        ending = _ENDS_DECLARED if strength == "strong" else _ENDS_LEADING
        return next(_claims_at(text, start, ending, rule, start), None)

    for cue, claim in declared(text, parse):
        yield Claim(cue.start, claim.end, claim.answers, cue.rule, cue.is_final, bool(cue.correction))


RULES: tuple[Callable[[str], Iterator[Claim]], ...] = (_bare_lines, _leading, _boxed, _declared)
"""The rules, in the order in which they are tried; `_only_number` is asked if none of them finds anything."""


def _only_number(text: str) -> Iterator[Claim]:
    """A sentence states a number, and the answer holds no other.

    Example: "There are 5 dogs in the picture."
    """
    if len({match.group() for match in _ANY_DIGITS.finditer(text)}) != 1:
        return
    for match in _COUNT.finditer(text):
        number = _number_at(text, match.end())
        if number is None or is_denied(text, match.end()) or _QUALIFIED.match(text, number.end):
            continue
        if not text.startswith("?", sentence_end(text, number.end)):
            yield Claim(match.start(), number.end, number.values, "only_number")


def _claims_at(
    text: str, position: int, ending: re.Pattern[str], rule: str, start: int, unit: re.Pattern[str] = _UNIT
) -> Iterator[Claim]:
    """Yield what the numbers at a place claim, up to the last after which the phrase may end."""
    numbers: list[_Number] = []
    while len(numbers) < 8:
        number = _number_at(text, position)
        if number is None:
            break
        numbers.append(number)
        join = _JOIN.match(text, number.end)
        position = join.end() if join else number.end
    while numbers:
        end = _end_of_phrase(text, numbers[-1].end, ending, unit if len(numbers) == 1 else _ONE_WORD_UNIT)
        if end is not None:
            values = frozenset(value for number in numbers for value in number.values)
            yield Claim(start, end, values, rule)
            return
        numbers.pop()


def _end_of_phrase(text: str, end: int, ending: re.Pattern[str], unit: re.Pattern[str]) -> int | None:
    """Return where a number's phrase ends, with its unit if it has one; None if the text goes on otherwise."""
    if ending.match(text, end):
        return end
    match = unit.match(text, end)
    for stop in range(match.end(), end, -1) if match else ():
        if ending.match(text, stop) and (stop == len(text) or not (text[stop].isalnum() and text[stop - 1].isalnum())):
            return stop
    return None


def _number_at(text: str, position: int) -> _Number | None:
    about = _ABOUT.match(text, position)
    position = about.end() if about else position
    equation = _EQUATION.match(text, position)
    match = _NUMBER.match(text, equation.end() if equation else position)
    if match is None:
        return None
    value = _value(match)
    return None if value is None else _Number(match.end(), frozenset([_normal(value)]))


def _value(match: re.Match[str]) -> Fraction | None:
    """Return the exact value of a number; None if it has none or is longer than any answer."""
    groups = match.groupdict()
    if len(match.group()) > 2 * _MAX_DIGITS or (groups["plain"] and len(groups["plain"]) > _MAX_DIGITS):
        return None
    if groups["over"] or groups["numerator"]:
        over, under = int(groups["over"] or groups["numerator"]), int(groups["under"] or groups["denominator"])
        if under == 0:
            return None
        value = Fraction(over, under) + int(groups["whole"] or 0)
    elif groups["vulgar"]:
        value = int(groups["vulgar_whole"] or 0) + _VULGAR[groups["vulgar"]]
    elif groups["power"] or groups["super_power"]:
        value = Fraction(10) ** int(groups["power"] or groups["super_power"].translate(_SUPERSCRIPT))
    else:
        power = groups["exponent"] or groups["times"] or (groups["super_times"] or "0").translate(_SUPERSCRIPT)
        value = Fraction(groups["plain"].replace(",", "")) * Fraction(10) ** int(power)
    value *= 10 ** _SCALES.get((groups["scale"] or "").lower(), 0)
    return -value if (groups["sign"] or "+").strip().lower() in ("-", "minus", "negative", "负") else value


def _normal(value: Fraction) -> str:
    """Return the normal form: a decimal if the value has a finite one, else a reduced fraction."""
    rest, num_places = value.denominator, 0
    for prime in (2, 5):
        places = 0
        while rest % prime == 0:
            rest //= prime
            places += 1
        num_places = max(num_places, places)
    if rest != 1:
        return f"{value.numerator}/{value.denominator}"
    digits = Decimal(value.numerator * 10**num_places // value.denominator)
    text = f"{digits:f}".lstrip("-").rjust(num_places + 1, "0")
    whole, places_text = text[: len(text) - num_places], text[len(text) - num_places :].rstrip("0")
    sign = "-" if value < 0 else ""
    return f"{sign}{whole}.{places_text}" if places_text else f"{sign}{whole}"
