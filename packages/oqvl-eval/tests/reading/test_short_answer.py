from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_eval.reading.short_answer import normal_form


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  The  Cat. ", "cat"),
        ("1,234,567", "1234567"),
        ("1,2", "1,2"),
        ("3.5", "3.5"),
        (".5", ".5"),
        ("-4", "-4"),
        ("\u201cStop!\u201d", "stop"),
        ("A", "a"),
        ("don't", "don't"),
        ("\uff34\uff25\uff33\uff34", "test"),
        ("STRASSE", normal_form("straße")),
        ("...", ""),
    ],
)
def test_normal_form(text, normal):
    assert normal_form(text) == normal


@given(st.text())
def test_the_normal_form_is_stable(text):
    assert normal_form(normal_form(text)) == normal_form(text)
