"""What a free answer says: the letter of an option, or a short answer brought to a normal form.

Nothing here guesses. An answer that names no option is `unparsed`, one that names several is `ambiguous`; both count as
wrong and are counted beside the score.
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
        answer: What it read: a letter or a normalised short answer; empty unless `parsed`.
    """

    status: Status
    by: str
    answer: str = ""


def extract_letter(output: str, choices: Sequence[str]) -> Extraction:
    """Read the chosen option's letter from a free answer.

    The rules, in order; the first that finds a letter decides, and one that finds several makes it `ambiguous`:

    1. `letter`: the first line is a letter and nothing else but brackets and punctuation (`B`, `(b)`, `**B.**`), or
       `option B`.
    2. `option_text`: the first line is an option's text, letter case, articles and punctuation aside. When the
       letter read by rule 1 and the text disagree (options that are letters themselves), it is ambiguous.
    3. `leading_letter`: the first line begins with a letter and a mark, `B. a pear` or `(B) a pear`, and brackets no
       other letter; not when the next line begins with another letter (the options are being repeated).
    4. `declaration`: `answer is B`, `answer: (B)`, `option B`, anywhere.
    5. `bracketed_letter`: `(B)` anywhere.
    6. `final_letter`: the last word is a capital letter; other capital letters that stand alone in its line make it
       ambiguous.
    7. `option_text_within`: an option's text occurs in the answer as whole words; an option that only occurs inside a
       longer one that occurs too is not counted.

    Only the letters of existing options count. "A" as an article is never read: a letter in running text must be
    marked, declared or last.

    Args:
        output: The model's answer.
        choices: The options, `choices[0]` is A.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if not lines:
        return Extraction("unparsed", "empty")
    letters = LETTERS[: len(choices)]
    for name, found in (
        ("letter", _lone_letter(lines[0], letters) | _exact_option(lines[0], choices)),
        ("leading_letter", _leading_letter(lines, letters)),
        ("declaration", _declared_letters(output, letters)),
        ("bracketed_letter", set(re.findall(rf"\(([{letters}])\)", output))),
        ("final_letter", _final_letter(lines[-1], letters)),
        ("option_text_within", _options_within(output, choices)),
    ):
        if len(found) == 1:
            by = "option_text" if name == "letter" and not _lone_letter(lines[0], letters) else name
            return Extraction("parsed", by, found.pop())
        if found:
            return Extraction("ambiguous", name)
    return Extraction("unparsed", "no_rule")


def extract_short_answer(output: str) -> Extraction:
    """Read a short answer: the first line that is not empty, without `Answer:` before it, normalised."""
    for line in output.splitlines():
        answer = normalize(re.sub(r"^\s*(?:the\s+)?answer\s*(?:is\b|:)\s*", "", line, flags=re.IGNORECASE))
        if answer:
            return Extraction("parsed", "first_line", answer)
    return Extraction("unparsed", "empty")


def extract_yes_no(output: str) -> Extraction:
    """Read yes or no from the first sentence of a free answer.

    `yes` is said by that word, `no` by no, not or a contraction of not; a sentence that says both is ambiguous.
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

    Unicode NFKC, case folded, thousands separators removed from numbers, quotation marks and the punctuation at the
    ends of words removed, the articles a, an and the removed unless nothing else is left, white space collapsed.
    """
    # Twice, because folding can undo the composition.
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    words = [word.lstrip(_OPENING).rstrip(_CLOSING) for word in text.split()]
    return " ".join(word for word in words if word and word not in ("a", "an", "the")) or " ".join(filter(None, words))


def _lone_letter(line: str, letters: str) -> set[str]:
    match = re.fullmatch(rf"(?:option\s+)?[(\[*\"']*([{letters}])[)\]*\"'.:,]*", line, flags=re.IGNORECASE)
    return {match.group(1).upper()} if match else set()


def _exact_option(line: str, choices: Sequence[str]) -> set[str]:
    verbatim = {letter for letter, choice in zip(LETTERS, choices, strict=False) if line == choice.strip()}
    said = normalize(line)
    if verbatim or not said or re.match(_LEADING_LETTER, line):
        return verbatim
    return {letter for letter, choice in zip(LETTERS, choices, strict=False) if said == normalize(choice)}


def _leading_letter(lines: Sequence[str], letters: str) -> set[str]:
    first, second = (re.match(_LEADING_LETTER, line) for line in (lines[0], lines[min(1, len(lines) - 1)]))
    if first is None or (second is not None and second.group(1) != first.group(1)):
        return set()
    return {first.group(1), *re.findall(r"\(([A-Z])\)", lines[0])} & set(letters)


def _declared_letters(output: str, letters: str) -> set[str]:
    # The words in any case, the letter a capital one: "the answer is a pear" declares nothing.
    declaring = r"(?i:\b(?:answer|option|choice)\b(?:\s+is\b)?)\s*:?\s*(?i:option\s+)?[(\[*\"']*"
    # A and I are English words too: before another word they declare nothing either.
    return set(re.findall(rf"{declaring}([{letters}])(?!\w)(?!(?<=[AI])\s+\w)", output))


def _final_letter(line: str, letters: str) -> set[str]:
    if re.search(rf"(?<!\w)[{letters}][.!)*\"']*$", line) is None:
        return set()
    return set(re.findall(rf"(?<!\w)([{letters}])(?!\w)", line))


def _options_within(output: str, choices: Sequence[str]) -> set[str]:
    said = f" {normalize(output)} "
    letters_of: dict[str, set[str]] = {}
    for letter, choice in zip(LETTERS, choices, strict=False):
        letters_of.setdefault(normalize(choice), set()).add(letter)
    found: set[str] = set()
    for option in sorted(letters_of, key=len, reverse=True):
        if option and f" {option} " in said:
            found |= letters_of[option]
            # Taken out, so that "pear" is not found inside "prickly pear" again.
            said = said.replace(f" {option} ", " | ")
    return found
