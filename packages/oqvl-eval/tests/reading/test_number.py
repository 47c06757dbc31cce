from __future__ import annotations

from oqvl_eval.reading.number import read_number


def test_known_answers(known):
    reading = read_number(known.output)
    assert (reading.status, reading.answer) == (known.status, known.answer)
