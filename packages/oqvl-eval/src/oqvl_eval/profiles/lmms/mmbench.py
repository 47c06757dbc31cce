"""MMBench as lmms-eval scores it (75571cf): CircularEval, with a judge or, in the task `static`, with rules.

Bugs kept:

- The letter E is inferred even if the item has no option E.
- An answer of more than three words with the word "A" is never read by the word, only by "A.", "(A)" and so on.
- A missing option may come as the text "nan", which then is an option: "banana" contains it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from oqvl_eval.profiles.lmms.letter import read_letter
from oqvl_eval.profiles.markers import Credit
from oqvl_eval.profiles.rotation import Rotation, all_right, by_question

_LETTERS = "ABCDE"
_TEXT_LETTERS = "ABCD"
_FAILED_REQUEST = "Failed to obtain answer via API"
_MAX_WORDS_WITH_ARTICLE = 3
_FORMS = ("{}.", "{},", "{}:", "{})", "{}).", "({})", "({}).", ":{}", ":{},", ":{}.", ":{})", ":{}).")


def infer_letter(output: str) -> str | None:
    """Infer the option from a letter that is a word of its own, with or without marks; None if it is not clear."""
    if _FAILED_REQUEST in output:
        return None
    words = output.split()
    for form in ("{}", *_FORMS):
        named = [letter for letter in _LETTERS if form.format(letter) in words]
        may_be_article = form == "{}" and "A" in words and len(words) > _MAX_WORDS_WITH_ARTICLE
        if len(named) == 1 and not may_be_article:
            return named[0]
    return None


def infer_text(output: str, options: Mapping[str, object]) -> str | None:
    """Infer the option whose text the answer contains; None unless it is exactly one."""
    text = output.lower()
    named = [letter for letter, option in options.items() if str(option).lower() in text]
    return named[0] if len(named) == 1 else None


def infer_option(output: str, options: Mapping[str, object]) -> str | None:
    """Infer the option an answer chooses, by letter, then by text; None if the rules do not tell.

    Args:
        output: The answer.
        options: The texts of the options A to D that the item has, by letter.
    """
    return infer_letter(output) or infer_text(output, options)


def question_credit(rotations: Sequence[Rotation], static: bool = False) -> Credit:
    """Return the credit of one question: 1 if the answers to all its rotations are right.

    Args:
        rotations: The answers to the rotations of the question.
        static: Whether the task is `static`, which reads letters by rules where the default asks a judge.
    """
    letters = [infer_option(rotation.output, rotation.options) for rotation in rotations]
    golds = [rotation.gold for rotation in rotations]
    value = all_right(letters, golds, has_judge=True)
    if static and not isinstance(value, float):
        read = [
            letter or read_letter(rotation.output, sorted(rotation.options))
            for letter, rotation in zip(letters, rotations, strict=True)
        ]
        return all_right(read, golds, has_judge=False)
    return value


def circular_credits(rotations: Iterable[Rotation], static: bool = False) -> dict[int, Credit]:
    """Return the credit of every question by the index of its unrotated row."""
    return {question: question_credit(group, static) for question, group in by_question(rotations).items()}
