r"""Read the letter of a multiple-choice answer.

Rules (`oqvl_eval.reading.choice_rules`) collect what the answer claims; `standing` drops what a correction withdraws.
One letter is read if every claim that stands names it and nothing takes it back (`oqvl_eval.reading.objection`).

| Rule | Reads |
|---|---|
| `bare`, `option_text` | a line that holds nothing but a letter or an option's text: `(B)`, `**B.**`, `a pear` |
| `leading`, `leading_text` | an answer that begins with a letter and a mark, or with a text: `B. It is green` |
| `last_sentence` | a letter alone in the last sentence: `I see a pear. B.` |
| `boxed` | `\boxed{B}` |
| `answer_is`, `answer_is_chinese` | "the answer is B", "Final answer: B", "答案是B" |
| `chosen`, `chosen_chinese` | "I choose B", "故选B" |
| `concluded`, `copula`, `not_but` | "so B", "it is B", "not A but B" |
| `corrected` | "no wait, C" |
| `predicate` | "B is correct", "B is the right answer", "选项B正确" |

Letters are all alike: which one an answer names never decides whether it is read. Claims of letters that are no option
count, so that `C.D.` is ambiguous whether or not there is an option D.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from oqvl_eval.reading.choice_rules import RULES, sheet_of
from oqvl_eval.reading.claim import standing
from oqvl_eval.reading.normalisation import NormalText
from oqvl_eval.reading.objection import objection
from oqvl_eval.reading.phrase import Options, prepare
from oqvl_eval.reading.reading import Reading
from oqvl_eval.reading.refusal import refusals
from oqvl_eval.reading.scope import answer_scope

_CACHE_SIZE = 1 << 18
_CACHED_LENGTH = 256  # characters; longer answers rarely come twice, so they are not kept

_BARE = re.compile(r"[ \n]{0,4}[(\[]?([A-Z])[)\]]?[.:,]?[ \n]{0,4}")


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
    scope = NormalText(output, range(len(output))) if _BARE.fullmatch(output) else answer_scope(output)
    return scope if isinstance(scope, Reading) else _decide(scope, prepare(entries))


_read_cached = lru_cache(maxsize=_CACHE_SIZE)(_read)


def _decide(scope: NormalText, options: Options) -> Reading:
    """Weigh the claims of a text."""
    bare = None if options.has_short_texts else _BARE.fullmatch(scope.text)
    if bare:  # what most answers are; the rules would say the same, and take longer
        return _of_letter(bare.group(1), "bare", scope.span(*bare.span(1)), options)
    sheet = sheet_of(scope.text, options)
    claims = standing(claim for rule in RULES for claim in rule(sheet))
    if not claims:
        return _without_claim(scope, is_list=bool(sheet.listed))
    span = scope.span(claims[0].start, claims[0].end)
    letters = frozenset(letter for claim in claims for letter in claim.answers)
    if len(letters) > 1:
        return Reading("ambiguous", "", "several_answers", span)
    (letter,) = letters
    reason = objection(sheet, claims, letter)
    if reason:
        return Reading("ambiguous", "", reason, span)
    return _of_letter(letter, claims[0].rule, span, options)


def _of_letter(letter: str, rule: str, span: tuple[int, int], options: Options) -> Reading:
    if letter in options.letters:
        return Reading("read", letter, rule, span)
    return Reading("unread", "", "not_an_option", span)


def _without_claim(scope: NormalText, *, is_list: bool) -> Reading:
    if is_list:
        return Reading("unread", "", "options_repeated")
    for start, end in refusals(scope.text):
        return Reading("refused", "", "refusal", scope.span(start, end))
    return Reading("unread", "", "no_rule")
