"""The MMMU rules that four harnesses copied from each other: reading a letter, reading an open answer, matching it.

The copies differ in one place only, the forms in which a letter is recognised: `OFFICIAL_FORMS` and `LOOSE_FORMS`.

Bugs kept:

- The sentence splitter of open answers looks for a capital letter in text that is already lower case, so only line
  breaks split.
- A letter is drawn at random if none is found, even for an empty answer or a refusal.
- A form that accepts `A ` also accepts the end of a word in capitals ("NASA "), see `LOOSE_FORMS`.
- With several candidates, the loose forms look for the last ` A ` between spaces. A candidate that does not occur
  between spaces is treated as the first in the text.
- An open answer that contains the gold text anywhere is right: "not 12" holds "12" as a number and as text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from oqvl_eval.profiles.markers import Draw, letter_credit

DOMAINS: Mapping[str, tuple[str, ...]] = {
    "Art and Design": ("Art", "Art_Theory", "Design", "Music"),
    "Business": ("Accounting", "Economics", "Finance", "Manage", "Marketing"),
    "Science": ("Biology", "Chemistry", "Geography", "Math", "Physics"),
    "Health and Medicine": (
        "Basic_Medical_Science",
        "Clinical_Medicine",
        "Diagnostics_and_Laboratory_Medicine",
        "Pharmacy",
        "Public_Health",
    ),
    "Humanities and Social Science": ("History", "Literature", "Sociology", "Psychology"),
    "Tech and Engineering": (
        "Agriculture",
        "Architecture_and_Engineering",
        "Computer_Science",
        "Electronics",
        "Energy_and_Power",
        "Materials",
        "Mechanical_Engineering",
    ),
}

_MARKS = ",.!?;:'"
_MIN_WORDS_FOR_TEXT = 6
_CUES = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_LAST_LINE_CUES = (*_CUES, "=")

_NUMBER_PATTERNS = (
    # With thousands separators, in scientific notation, and plain ones that are part of neither.
    r"-?\b\d{1,3}(?:,\d{3})+\b",
    r"-?\d+(?:\.\d+)?[eE][-+]?\d+",
    r"-?(?:\d*\.\d+|\d+\b)(?!(?:[eE][-+]?)?\d|,)",
)


@dataclass(frozen=True)
class LetterForm:
    """A way in which an answer can name an option, `{}` being the letter.

    Args:
        written: What makes the letter a candidate.
        located: What is searched from the end when there are several candidates.
    """

    written: str
    located: str


OFFICIAL_FORMS = (LetterForm("({})", "({})"), LetterForm(" {} ", " {} "))
LOOSE_FORMS = (LetterForm("({})", "({})"), LetterForm("{} ", " {} "), LetterForm("{}.", " {} "))


def option_letters(num_options: int) -> tuple[str, ...]:
    """Return the letters of the options, from A."""
    return tuple(chr(ord("A") + index) for index in range(num_options))


def read_letter(output: str, options: Sequence[str], forms: Sequence[LetterForm]) -> str | Draw:
    """Read the letter of the chosen option.

    The first form that any letter has decides. If none has one and the answer is at least six words long, the texts of
    the options are searched without regard to case. Of several candidates, the last in the text wins; of those at
    the same place, the first option.

    Args:
        output: The answer.
        options: The texts of the options, `options[0]` is A.
        forms: The forms to try, in order.

    Returns:
        The letter, or a Draw over all options.
    """
    for mark in _MARKS:
        output = output.strip(mark)
    output = f" {output} "
    letters = option_letters(len(options))
    for form in forms:
        candidates = [letter for letter in letters if form.written.format(letter) in output]
        if candidates:
            return max(candidates, key=lambda letter: output.rfind(form.located.format(letter)))
    if len(output.split()) >= _MIN_WORDS_FOR_TEXT:
        text = output.lower()
        texts = {letter: option.lower() for letter, option in zip(letters, options, strict=True)}
        candidates = [letter for letter in letters if texts[letter] in text]
        if candidates:
            return max(candidates, key=lambda letter: text.rfind(texts[letter]))
    return Draw(len(letters))


def choice_credit(
    output: str, options: Sequence[str], gold: str | Collection[str], forms: Sequence[LetterForm]
) -> float:
    """Return the credit of an answer to a multiple-choice item; the expected one where a letter is drawn."""
    return letter_credit(read_letter(output, options, forms), gold, option_letters(len(options)))


def find_numbers(text: str) -> list[str]:
    """Return the numbers in a text: first those with thousands separators, then scientific, then plain ones."""
    return [number for pattern in _NUMBER_PATTERNS for number in re.findall(pattern, text)]


def normalize(text: str) -> tuple[float | str, ...]:
    """Return the comparable forms of a text.

    A number becomes a float with two decimals. Any other text is lower-cased. A single character becomes two forms,
    with a space before it and with a space after it, which keeps it from matching inside words.
    """
    text = text.strip()
    try:
        return (round(float(text.replace(",", "")), 2),)
    except ValueError:
        text = text.lower()
    return (f" {text}", f"{text} ") if len(text) == 1 else (text,)


def key_phrases(output: str) -> list[str]:
    """Return the parts of an open answer that are likely to state it: one per line that has a cue such as "is".

    If no line has a cue, the whole answer is the only part.
    """
    output = output.strip().strip(".").lower()
    lines = output.split("\n")
    phrases = [_shortest_tail(line, _CUES) for line in lines[:-1]]
    phrases.append(_shortest_tail(lines[-1], _LAST_LINE_CUES))
    return [phrase for phrase in phrases if phrase and not (len(phrase) == 1 and phrase in _MARKS)] or [output]


def parse_open(output: str) -> tuple[float | str, ...]:
    """Return everything an open answer may be taken to say, normalised, without repetitions."""
    phrases = key_phrases(output)
    numbers = [number for phrase in phrases for number in find_numbers(phrase)]
    return tuple(dict.fromkeys(form for text in (*phrases, *numbers) for form in normalize(text)))


def matches_open(parsed: Sequence[float | str], gold: str | Sequence[str]) -> bool:
    """Return whether any parsed form is right: a number that equals a gold number, or a text that holds a gold text.

    Args:
        parsed: What `parse_open` returned.
        gold: The gold answer, or several.
    """
    golds = [form for text in ([gold] if isinstance(gold, str) else gold) for form in normalize(text)]
    texts = [form for form in golds if isinstance(form, str)]
    return any(
        any(text in form for text in texts) if isinstance(form, str) else any(form == other for other in golds)
        for form in parsed
    )


def open_credit(output: str, gold: str | Sequence[str]) -> float:
    """Return the credit of an answer to an open item."""
    return float(matches_open(parse_open(output), gold))


def mean_credit(accuracies: Mapping[str, float], counts: Mapping[str, int]) -> float:
    """Return the mean over all answers from the means of their subjects; 0 without answers."""
    total = sum(counts[subject] for subject in accuracies)
    return sum(accuracies[subject] * counts[subject] for subject in accuracies) / total if total else 0.0


def summarize(credits_by_subject: Mapping[str, Sequence[float]], num_decimals: int) -> Iterator[tuple[str, float]]:
    """Yield (name, accuracy) of every domain, named `Overall-<domain>`, of its subjects, and last of `Overall`.

    Args:
        credits_by_subject: The credits of the answers of each subject. Subjects outside the six domains count in
            `Overall` alone.
        num_decimals: What accuracies are rounded to.
    """
    counts = {subject: len(values) for subject, values in credits_by_subject.items() if values}
    accuracies = {subject: sum(credits_by_subject[subject]) / counts[subject] for subject in counts}
    for domain, subjects in DOMAINS.items():
        own = {subject: accuracies[subject] for subject in subjects if subject in accuracies}
        yield f"Overall-{domain}", round(mean_credit(own, counts), num_decimals)
        for subject, accuracy in own.items():
            yield subject, round(accuracy, num_decimals)
    yield "Overall", round(mean_credit(accuracies, counts), num_decimals)


def _shortest_tail(line: str, cues: Sequence[str]) -> str:
    """Return the shortest text that follows the last occurrence of a cue; the next cue replaces an empty text."""
    shortest = ""
    for cue in cues:
        _, found, tail = line.rpartition(cue)
        tail = tail.strip()
        if found and (not shortest or len(tail) < len(shortest)):
            shortest = tail
    return shortest
