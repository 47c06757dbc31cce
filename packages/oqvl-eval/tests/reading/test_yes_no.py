from __future__ import annotations

from oqvl_eval.reading.yes_no import read_yes_no


def test_known_answers(known):
    reading = read_yes_no(known.output)
    assert (reading.status, reading.answer) == (known.status, known.answer)
