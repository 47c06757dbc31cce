from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_eval.reading.normalisation import normalise


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("B", "B"),
        (" a \n\n b ", "a\nb"),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("a\u00a0\t b", "a b"),
        ("\uff22\uff0e", "B."),
        ("\uff08\uff22\uff09", "(B)"),
        ("\u3010B\u3011\u3002", "[B]."),
        ("\u300cB\u300d", '"B"'),
        ("\u24b7", "B"),
        ("\U0001f171", "B"),
        ("\U0001d401", "B"),
        ("\u249d", "(b)"),
        ("\u2461", "2"),
        ("\u0665", "5"),
        ("B\u200b\ufeff\u00ad", "B"),
        ("\u201cB\u201d", '"B"'),
        ("don\u2019t", "don't"),
        ("\u22125", "-5"),
        ("a\u2026", "a..."),
        ("**B**", "B"),
        ("__B__", "B"),
        ("*B*", "B"),
        ("_B_", "B"),
        ("`B`", "B"),
        ("** B **", "B"),
        ("~~A~~ B", "B"),
        ("- B", "B"),
        ("* B", "B"),
        ("### B", "B"),
        ("> B", "B"),
        ("- 5", "- 5"),
        ("#B#", "#B#"),
        ("```json\nB\n```", "B"),
        ("2*3", "2*3"),
        ("2 * 3", "2 * 3"),
        ("x_1", "x_1"),
        ("2**3", "2**3"),
        ("f**x**2", "f**x**2"),
        ("$B$", "B"),
        ("$$B$$", "B"),
        (r"\(B\)", "B"),
        (r"\text{B}", "B"),
        (r"\mathbf{B}", "B"),
        (r"\boxed{\text{B}}", r"\boxed{B}"),
        (r"\frac{1}{2}", r"\frac{1}{2}"),
        ("$5 and $6", "$5 and $6"),
        (r"\$5", "$5"),
        (r"\text{a} {b}", "a {b}"),
        ("<b>B</b>", "B"),
        ("<B>", "<B>"),
        ("<p>B</p>", "B"),
        ("<P>", "<P>"),
        ("a<br/>b", "a\nb"),
        ("<strong>B</strong>", "B"),
        ("<s>B", "B"),
        ("<S>", "<S>"),
        ("<|im_start|>B", "B"),
        ("a<div class='c'>b</div>", "a\nb"),
        ("a < b > c", "a < b > c"),
        ("5\u00b2", "5\u00b2"),
        ("\u2160", "\u2160"),
        ("\u0412", "\u0412"),
        ("\u00bd", "\u00bd"),
    ],
)
def test_normal_forms(text, normal):
    assert normalise(text).text == normal


@given(st.text() | st.text(alphabet="ab *_`$\\{}<>/~#-\n\t\u200b\uff21\u2026\u249d"))
def test_every_character_knows_its_source(text):
    normal = normalise(text)
    assert len(normal.origins) == len(normal.text)
    assert list(normal.origins) == sorted(normal.origins)
    for place, character in zip(normal.origins, normal.text, strict=True):
        if character.isascii() and character.isalnum() and text[place].isascii():
            assert text[place] == character


def test_a_span_points_at_the_source():
    text = "It is **\uff22**, so"
    normal = normalise(text)
    place = normal.text.index("B")
    assert normal.span(place, place + 1) == (8, 9)
    assert normal.slice(place, place + 2).text == "B,"


def test_origins_can_be_given():
    assert list(normalise("**B**", range(10, 15)).origins) == [12]
