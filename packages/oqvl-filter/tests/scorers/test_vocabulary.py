from __future__ import annotations

from pathlib import Path

import pytest

from oqvl_filter.scorers.vocabulary import ThingWords
from oqvl_shards.errors import ConfigError

# In WordNet's layout: lemma, part of speech, senses, pointers, their symbols, senses, tagged senses, offsets.
INDEX = """  1 This is a licence line.
bank n 2 2 @ ~ 2 1 09213565 08420278
box n 1 1 @ 1 0 02883344
corps n 1 1 @ 1 1 08206589
dog n 2 3 @ ~ #m 2 1 02084071 10114209
idea n 1 0 1 0 05833840
seed_money n 1 1 @ 1 0 13356002
wolf n 1 1 @ 1 1 02114100
woman n 1 1 @ 1 1 10787470
"""
SYNSETS = "n02084071\nn02883344\nn08420278\nn10787470 woman\nn02114100\nn08206589\n"


@pytest.fixture
def things(tmp_path: Path) -> ThingWords:
    (tmp_path / "index.noun").write_text(INDEX)
    (tmp_path / "noun.exc").write_text("kine cow\nwomyn woman\n")
    (tmp_path / "synsets.txt").write_text(SYNSETS)
    return ThingWords(tmp_path, tmp_path / "synsets.txt")


@pytest.mark.parametrize(
    ("caption", "count"),
    [
        ("A Dog and two dogs", 2),
        ("boxes of women", 2),
        ("wolves", 1),
        ("womyn", 1),
        ("kine", 0),  # an irregular plural of no noun that is known
        ("an idea", 0),
        ("the bank", 0),  # its first sense is the river's, which is not listed
        ("dogma in a_box", 0),
        ('dog, box! "woman"', 0),  # words are split at whitespace alone
        ("seed money", 0),
        ("corpses", 1),  # "corps", before "corpse" is thought of
        ("", 0),
    ],
)
def test_words_whose_first_sense_is_listed_count(things: ThingWords, caption: str, count: int):
    assert things.count(caption) == count


def test_files_of_another_kind_are_refused(things: ThingWords, tmp_path: Path):
    (tmp_path / "nothing.txt").write_text("dog\n")
    with pytest.raises(ConfigError, match="holds no synset"):
        ThingWords(tmp_path, tmp_path / "nothing.txt")
    with pytest.raises(ConfigError, match="cannot be read"):
        ThingWords(tmp_path / "none", tmp_path / "synsets.txt")
    (tmp_path / "index.noun").write_text("dog\n")
    with pytest.raises(ConfigError, match=r"index\.noun"):
        ThingWords(tmp_path, tmp_path / "synsets.txt")
