from __future__ import annotations

import string

import pytest

from oqvl_eval.reading.choice import read_choice

LETTERS = string.ascii_uppercase
THINGS = {letter: f"thing number {number}" for number, letter in enumerate(LETTERS)}
ANIMALS = {"A": "cat", "B": "bird", "C": "horse", "D": "dog"}


def said(template: str, x: str, y: str, z: str) -> str:
    """Put letters in the place of X, Y and Z, and small ones in that of x, y and z, but not within words."""
    names = {"X": x, "Y": y, "Z": z, "x": x.lower(), "y": y.lower(), "z": z.lower()}

    def is_name(place: int) -> bool:
        around = template[max(0, place - 1) : place] + template[place + 1 : place + 2]
        return template[place] in names and not any(c.isascii() and c.isalpha() and c not in names for c in around)

    return "".join(names[c] if is_name(place) else c for place, c in enumerate(template))


@pytest.mark.parametrize(("x", "y", "z"), [("A", "B", "C"), ("B", "A", "I"), ("I", "C", "A"), ("T", "I", "D")])
def test_known_answers(known, x, y, z):
    reading = read_choice(said(known.output, x, y, z), THINGS)
    if known.status == "not":
        assert reading.status in ("ambiguous", "refused")
    else:
        answer = {"X": x, "Y": y, "": ""}[known.answer]
        assert (reading.status, reading.answer) == (known.status, answer)
