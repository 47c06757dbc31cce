"""How lmms-eval (75571cf) reads a letter for MMStar, RealWorldQA and MMBench without a judge.

Every way of writing a letter has a rank. The highest rank that occurs decides, and within it the last position.

Bugs kept:

- A phrase such as "the answer is" makes every letter after it a candidate, even inside words. The letter whose first
  occurrence is last wins: "the answer is B, not A" answers A.
- "A " at the end of any word counts, and so does a letter in "N.B.".
- Without any form, a capital letter inside a word counts: "Dog" answers D.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

LETTERS = ("A", "B", "C", "D")

_MARKS = ",.!?;:'\""
_START, _END, _PHRASE, _INSIDE = 10, 9, 7, 0
_RANKS = {"({})": 6, "{}.": 5, "{}:": 4, "{})": 3, "{} ": 2}

_SUBJECTS = (
    "answer",
    "correct answer",
    "best answer",
    "correct option",
    "best option",
    "choice",
    "correct choice",
    "my answer",
    "my choice",
)
_PHRASES = (
    *(f"{prefix}{subject} is" for subject in _SUBJECTS for prefix in (("",) if "my" in subject else ("", "the "))),
    *("i choose", "i select", "i pick"),
    *("옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは"),
)


def read_letter(output: str, letters: Sequence[str] = LETTERS) -> str | None:
    """Read the letter of an answer; None if no letter occurs in it.

    Args:
        output: The answer.
        letters: The letters of the options, in order.
    """
    stripped = output.strip()
    for mark in _MARKS:
        stripped = stripped.strip(mark)
    candidates = list(_candidates(f" {stripped} ", letters))
    if not candidates:
        candidates = [(_INSIDE, stripped.rfind(letter), letter) for letter in letters if letter in stripped]
    best = max(candidates, key=lambda candidate: candidate[:2], default=None)
    return None if best is None else best[2]


def _candidates(text: str, letters: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Yield (rank, position, letter) of every letter that is written in a known form."""
    for form, rank in _RANKS.items():
        for letter in letters:
            if form.format(letter) in text:
                yield rank, text.rfind(form.format(letter)), letter
    lowered = text.lower()
    for phrase in _PHRASES:
        start = lowered.find(phrase)
        if start >= 0:
            positions = {letter: text.find(letter, start + len(phrase)) for letter in letters}
            yield from ((_PHRASE, position, letter) for letter, position in positions.items() if position >= 0)
    inner = text.strip()
    for letter in letters:
        if inner.startswith(letter) and not inner[1:2].isalpha():
            yield _START, 0, letter
        if inner.endswith(letter) and not inner[-2:-1].isalpha():
            yield _END, len(text) - 1, letter
