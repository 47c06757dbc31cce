"""Words that name a thing, for made dictionaries of every kind, against a plain reading of WordNet's files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oqvl_filter.scorers.vocabulary import ThingWords
from oqvl_shards.errors import ConfigError

LEMMAS = ["bus", "box", "dish", "church", "man", "city", "wolf", "quiz", "dog", "ice_cream", "a"]
PLURALS = {
    "bus": "buses",
    "box": "boxes",
    "dish": "dishes",
    "church": "churches",
    "man": "men",
    "city": "cities",
    "wolf": "wolves",
    "quiz": "quizzes",
    "dog": "dogs",
}
SENSES = {lemma: 1000 + number for number, lemma in enumerate(LEMMAS)}


def write_wordnet(directory: Path, lemmas: list[str], things: set[str], exceptions: dict[str, str]) -> ThingWords:
    """WordNet's two files and a list of synsets, in which every noun has a second sense that names nothing."""
    lines = [
        f"{lemma} n 2 {len(pointers)} {' '.join(pointers)}{' ' * bool(pointers)}2 1 {SENSES[lemma]:08d} 99999999"
        for lemma, pointers in ((lemma, ["@", "~"][: len(lemma) % 3]) for lemma in lemmas)
    ]
    (directory / "index.noun").write_text("  1 licence\n  2 more licence\n" + "\n".join(sorted(lines)) + "\n")
    (directory / "noun.exc").write_text("".join(f"{form} {lemma}\n" for form, lemma in exceptions.items()))
    (directory / "synsets").write_text(
        "".join(f"n{SENSES[lemma]:08d} {lemma}, words\n" for lemma in things) or "n00000000\n"
    )
    return ThingWords(directory, directory / "synsets")


@settings(max_examples=40)
@given(
    st.sets(st.sampled_from(LEMMAS), min_size=1),
    st.sets(st.sampled_from(LEMMAS)),
    st.lists(st.sampled_from([*LEMMAS, *PLURALS.values(), "zzz"]), max_size=8),
)
def test_a_caption_counts_its_words_whose_lemma_is_a_thing(
    tmp_path_factory, known: set[str], things: set[str], caption
):
    things &= known
    directory = tmp_path_factory.mktemp("wordnet")
    vocabulary = write_wordnet(directory, sorted(known), things, {"quizzes": "quiz"})
    singular = {plural: lemma for lemma, plural in PLURALS.items()}
    expected = sum(singular.get(word, word) in things for word in caption)
    assert vocabulary.count(" ".join(caption)) == expected
    assert vocabulary.count("\n\t ".join(word.upper() for word in caption)) == expected


@pytest.mark.parametrize(("plural", "lemma"), [(plural, lemma) for lemma, plural in PLURALS.items()])
def test_a_regular_plural_is_found_by_its_ending(tmp_path: Path, plural: str, lemma: str):
    vocabulary = write_wordnet(tmp_path, LEMMAS, {lemma}, {"quizzes": "quiz"})
    assert vocabulary.count(f"{plural} {lemma} x{plural}x") == 2


def test_a_word_that_is_a_noun_itself_is_not_taken_for_a_plural(tmp_path: Path, monkeypatch):
    """`buses` is listed on its own here and names nothing, whatever `bus` is."""
    monkeypatch.setitem(SENSES, "buses", 5)
    vocabulary = write_wordnet(tmp_path, ["bus", "buses"], {"bus"}, {})
    assert vocabulary.count("bus buses") == 1


def test_an_irregular_form_does_not_try_the_endings(tmp_path: Path):
    """`dogs` as the irregular form of `wolf` is no dog any more; one of an unknown noun is nothing."""
    vocabulary = write_wordnet(tmp_path, ["dog", "wolf"], {"wolf"}, {"dogs": "wolf", "wolves": "unknown"})
    assert vocabulary.count("dogs") == 1
    assert vocabulary.count("wolves") == 0


def test_an_irregular_form_may_have_several_nouns(tmp_path: Path):
    vocabulary = write_wordnet(tmp_path, ["dog", "wolf"], {"wolf"}, {"axes": "unknown wolf"})
    assert vocabulary.count("axes") == 1


@pytest.mark.parametrize("name", ["index.noun", "noun.exc", "synsets"])
def test_each_file_is_in_the_fingerprint(tmp_path: Path, name: str):
    first = write_wordnet(tmp_path, ["dog", "bus"], {"dog"}, {"dogz": "dog"})
    again = ThingWords(tmp_path, tmp_path / "synsets")
    assert first.fingerprint() == again.fingerprint()
    with (tmp_path / name).open("a") as file:
        file.write("  \n" if name == "index.noun" else "n00000007 x\n")
    assert ThingWords(tmp_path, tmp_path / "synsets").fingerprint() != first.fingerprint()


@given(st.binary(max_size=50))
@settings(max_examples=60)
def test_any_bytes_in_a_file_are_read_or_named(tmp_path_factory, content: bytes):
    directory = tmp_path_factory.mktemp("wordnet")
    for name in ("index.noun", "noun.exc", "synsets"):
        write_wordnet(directory, ["dog"], {"dog"}, {})
        (directory / name).write_bytes(content)
        try:
            ThingWords(directory, directory / "synsets")
        except ConfigError as error:
            assert error.hint
