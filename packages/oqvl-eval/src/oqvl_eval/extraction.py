"""Read a free answer: the letter of an option, yes or no, or a short answer in normal form.

Nothing here guesses. An answer that names no option is `unparsed`, and one that names several is `ambiguous`. Both
count as wrong, and the report says how many there were.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from oqvl_eval.item import LETTERS

_OPENING = "\"'`*_([{\u201c\u2018"
_CLOSING = "\"'`*_.,;:!?)]}\u201d\u2019"

_LEADING_LETTER = r"[(\[*]*([A-Z])(?:[.:)\]]|\*\*)"

Status = Literal["parsed", "unparsed", "ambiguous"]


@dataclass(frozen=True)
class Extraction:
    """What was read from one answer.

    Args:
        status: `parsed`, `unparsed` or `ambiguous`.
        by: The name of the rule that decided.
        answer: What was read: a letter, `yes` or `no`, or a normalised short answer. Empty unless `parsed`.
    """

    status: Status
    by: str
    answer: str = ""


def extract_letter(output: str, choices: Sequence[str]) -> Extraction:
    """Read the letter of the chosen option from a free answer.

    The rules are tried in order. The first one that finds a letter decides. If it finds several, the answer is
    `ambiguous`.

    1. `letter`: the first line consists of a letter with brackets and punctuation (`B`, `(b)`, `**B.**`), or of
       `option B`.
    2. `option_text`: the first line is an option's text, ignoring case, articles and punctuation. If rules 1 and 2
       disagree, which happens when options are letters themselves, the answer is ambiguous.
    3. `leading_letter`: the first line starts with a marked letter, such as `B. a pear` or `(B) a pear`. Another letter
       in brackets in the same line makes the answer ambiguous. The rule does not apply if the second line starts with
       another letter: then the model is repeating the options.
    4. `declaration`: `answer is B`, `answer: (B)` or `option B`, anywhere.
    5. `bracketed_letter`: `(B)`, anywhere.
    6. `final_letter`: the last word is a capital letter. Other capital letters that stand alone in the same line make
       the answer ambiguous.
    7. `option_text_within`: an option's text occurs in the answer as whole words. An option that occurs only inside a
       longer option's text does not count.

    Only the letters of existing options count. The article "A" is never read as a letter: in running text, a letter
    must be marked, declared or last.

    Args:
        output: The model's answer.
        choices: The options; `choices[0]` is A.

    Example:
        >>> extract_letter("The answer is (B).", ["an apple", "a pear"])
        Extraction(status='parsed', by='declaration', answer='B')
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if not lines:
        return Extraction("unparsed", "empty")
    letters = LETTERS[: len(choices)]
    for rule, letters_read in (
        ("letter", _lone_letter(lines[0], letters) | _exact_option(lines[0], choices)),
        ("leading_letter", _leading_letter(lines, letters)),
        ("declaration", _declared_letters(output, letters)),
        ("bracketed_letter", set(re.findall(rf"\(([{letters}])\)", output))),
        ("final_letter", _final_letter(lines[-1], letters)),
        ("option_text_within", _options_within(output, choices)),
    ):
        if len(letters_read) == 1:
            by = "option_text" if rule == "letter" and not _lone_letter(lines[0], letters) else rule
            return Extraction("parsed", by, letters_read.pop())
        if letters_read:
            return Extraction("ambiguous", rule)
    return Extraction("unparsed", "no_rule")


def extract_short_answer(output: str) -> Extraction:
    """Read a short answer: the first line that is not empty, without a leading `Answer:`, in normal form."""
    for line in output.splitlines():
        answer = normalize(re.sub(r"^\s*(?:the\s+)?answer\s*(?:is\b|:)\s*", "", line, flags=re.IGNORECASE))
        if answer:
            return Extraction("parsed", "first_line", answer)
    return Extraction("unparsed", "empty")


def extract_yes_no(output: str) -> Extraction:
    """Read yes or no from the first sentence of a free answer.

    The word yes means `yes`. The words no and not, and contractions of not, mean `no`. A sentence with both is
    ambiguous.
    """
    lines = [line for line in output.splitlines() if line.strip()]
    if not lines:
        return Extraction("unparsed", "empty")
    sentence = lines[0].strip().partition(".")[0].casefold().replace("\u2019", "'")
    says_yes = re.search(r"\byes\b", sentence) is not None
    says_no = re.search(r"\b(?:no|not)\b|n't\b", sentence) is not None
    if says_yes and says_no:
        return Extraction("ambiguous", "first_sentence")
    if says_yes or says_no:
        return Extraction("parsed", "first_sentence", "yes" if says_yes else "no")
    return Extraction("unparsed", "no_rule")


def normalize(text: str) -> str:
    """Return the normal form in which short answers are compared.

    1. Apply Unicode NFKC and fold the case.
    2. Remove thousands separators from numbers.
    3. Remove quotation marks and punctuation at both ends of words.
    4. Remove the articles a, an and the, unless nothing else would be left.
    5. Collapse white space.
    """
    # NFKC is applied again after case folding, which can undo it.
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    words = [word.lstrip(_OPENING).rstrip(_CLOSING) for word in text.split()]
    return " ".join(word for word in words if word and word not in ("a", "an", "the")) or " ".join(filter(None, words))


def _lone_letter(line: str, letters: str) -> set[str]:
    match = re.fullmatch(rf"(?:option\s+)?[(\[*\"']*([{letters}])[)\]*\"'.:,]*", line, flags=re.IGNORECASE)
    return {match.group(1).upper()} if match else set()


def _exact_option(line: str, choices: Sequence[str]) -> set[str]:
    """Return the letters of the options whose text is `line`: verbatim if there are any, else normalised."""
    verbatim = {letter for letter, choice in zip(LETTERS, choices, strict=False) if line == choice.strip()}
    normalised = normalize(line)
    if verbatim or not normalised or re.match(_LEADING_LETTER, line):
        return verbatim
    return {letter for letter, choice in zip(LETTERS, choices, strict=False) if normalised == normalize(choice)}


def _leading_letter(lines: Sequence[str], letters: str) -> set[str]:
    first, second = (re.match(_LEADING_LETTER, line) for line in (lines[0], lines[min(1, len(lines) - 1)]))
    if first is None or (second is not None and second.group(1) != first.group(1)):
        return set()
    return {first.group(1), *re.findall(r"\(([A-Z])\)", lines[0])} & set(letters)


def _declared_letters(output: str, letters: str) -> set[str]:
    # The words match in any case, but the letter must be a capital: "the answer is a pear" declares nothing.
    declaring = r"(?i:\b(?:answer|option|choice)\b(?:\s+is\b)?)\s*:?\s*(?i:option\s+)?[(\[*\"']*"
    # A and I are also English words. In front of another word they declare nothing.
    return set(re.findall(rf"{declaring}([{letters}])(?!\w)(?!(?<=[AI])\s+\w)", output))


def _final_letter(line: str, letters: str) -> set[str]:
    if re.search(rf"(?<!\w)[{letters}][.!)*\"']*$", line) is None:
        return set()
    return set(re.findall(rf"(?<!\w)([{letters}])(?!\w)", line))


def _options_within(output: str, choices: Sequence[str]) -> set[str]:
    """Return the letters of the options whose text occurs in `output` as whole words, the longest options first."""
    text = f" {normalize(output)} "
    letters_of: dict[str, set[str]] = {}
    for letter, choice in zip(LETTERS, choices, strict=False):
        letters_of.setdefault(normalize(choice), set()).add(letter)
    letters_read: set[str] = set()
    for option in sorted(letters_of, key=len, reverse=True):
        if option and f" {option} " in text:
            letters_read |= letters_of[option]
            # Remove the option from the text, so that "pear" is not found inside "prickly pear".
            text = text.replace(f" {option} ", " | ")
    return letters_read
