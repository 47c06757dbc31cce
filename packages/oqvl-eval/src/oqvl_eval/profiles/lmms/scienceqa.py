"""ScienceQA as lmms-eval scores it (75571cf): the letter alone, in any case, or a capital letter with a period."""

from __future__ import annotations


def credit(output: str, gold: int) -> float:
    """Return 1 if the answer is the letter of the right option or begins with it as in `B.`, else 0.

    Args:
        output: The answer.
        gold: The index of the right option.
    """
    letter = chr(ord("A") + gold).lower()
    answer = output.strip()
    if answer.lower() == letter:
        return 1.0
    return float(answer[:1].isupper() and answer[1:2] == "." and answer[0].lower() == letter)
