"""Mantis-Eval as its repository scores it (Mantis f3a3192).

Bugs kept:

- The first letter anywhere in the answer counts: "The second" is read as T, and as A to D if the option exists.
- A letter beyond the options sends the whole answer to a comparison with the right option's text, which must be equal.
- The answer starts after the first "final answer:", "the answer is" or "answer:", so a text that repeats the phrase is
  cut too early.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_LEADS = ("final answer:", "the answer is", "answer:")


def cut_answer(output: str) -> str:
    """Return what follows the first of the phrases that introduce an answer; the whole text if there is none."""
    lowered = output.lower()
    for lead in _LEADS:
        if lead in lowered:
            return output[lowered.index(lead) + len(lead) :].strip()
    return output


def read_letter(answer: str) -> str | None:
    """Return the first letter of a text in upper case; None if it has none."""
    if re.match("Answer: [A-Z]", answer):
        return answer[len("Answer: ")]
    return next((character.upper() for character in answer if character.isalpha()), None)


def choice_credit(output: str, options: Sequence[str], gold: str, dataset: str = "") -> float:
    """Return the credit of an answer to a multiple-choice item.

    Args:
        output: The answer.
        options: The texts of the options, which may begin with their letter as in `A. `, `A: ` or `(A)`.
        gold: The right letter, possibly in brackets.
        dataset: The name of the data set. In `nlvr2`, an answer that says true or false, and not both, is right if the
            right option says it too.

    Raises:
        ValueError: If the gold has no letter.
    """
    gold = _gold_letter(gold)
    letter = read_letter(cut_answer(output))
    if letter is not None and len(letter) == 1 and ord(letter) - ord("A") < len(options):
        return float(letter == gold.upper())
    index = ord(gold.upper()) - ord("A")
    if index >= len(options):
        return 0.0
    if dataset == "nlvr2":
        return float(_agrees_on_truth(output.lower(), options[index].lower()))
    return float(output.strip() == _text_of(options[index], gold))


def short_answer_credit(output: str, gold: str) -> float:
    """Return the credit of an answer to a short-answer item: 1 if the texts are equal apart from case."""
    return float(gold.strip("()\n ").lower() == cut_answer(output).lower())


def credit(output: str, options: Sequence[str] | None, gold: str, dataset: str = "") -> float:
    """Return the credit of an answer; `options` is None for a short-answer item."""
    if options is None:
        return short_answer_credit(output, gold)
    return choice_credit(output, options, gold, dataset)


def _gold_letter(gold: str) -> str:
    stripped = gold.strip("()\n ")
    if len(stripped) == 1:
        return stripped
    letter = next((character for character in stripped if character.isalpha()), None)
    if letter is None:
        raise ValueError(f"the gold {gold!r} has no letter")
    return letter


def _agrees_on_truth(said: str, right: str) -> bool:
    says_true, says_false = "true" in said, "false" in said
    return says_true != says_false and ("true" if says_true else "false") in right


def _text_of(option: str, letter: str) -> str:
    """Return the text of an option without the letter before it."""
    for label in (f"{letter}.", f"{letter}:", f"({letter})"):
        if option.startswith(label):
            return option[len(label) :].strip()
    return option.strip()
