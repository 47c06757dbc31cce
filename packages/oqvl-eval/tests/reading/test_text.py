from __future__ import annotations

from oqvl_eval.reading.text import read_text


def test_known_answers(known):
    reading = read_text(known.output)
    assert (reading.status, reading.answer) == (known.status, known.answer)
