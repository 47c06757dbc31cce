from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter import run
from oqvl_filter.config import MetadataScorerConfig, ScoreConfig, SelectConfig
from oqvl_filter.scorers.metadata import EntryMatcher, read_entries, words
from oqvl_shards.errors import ConfigError

texts = st.lists(st.sampled_from(["new", "york", "york's", "city", "NEW"]), max_size=8).map(" ".join)


@given(st.lists(texts, max_size=6), texts)
def test_a_match_is_that_of_spaced_substrings(entries: list[str], text: str):
    def spaced(one: str) -> str:
        return f" {' '.join(words(one))} "

    first = {spaced(entry): number for number, entry in reversed(list(enumerate(entries))) if entry}
    expected = sorted(number for entry, number in first.items() if entry in spaced(text))
    assert EntryMatcher(entries).match(text) == expected


def test_words_ignore_case_width_and_punctuation():
    assert EntryMatcher(["New York", "straße"]).match("\uff4e\uff45\uff57 york, STRASSE!") == [0, 1]
    assert EntryMatcher(["art"]).match("a party") == []


def test_a_list_is_json_or_lines(tmp_path: Path):
    (tmp_path / "a.json").write_text('["new york", "cat"]')
    (tmp_path / "a.txt").write_text("new york\n\ncat\n")
    assert read_entries(tmp_path / "a.json") == read_entries(tmp_path / "a.txt") == ["new york", "cat"]
    (tmp_path / "b.json").write_text('[["nested"]]')
    for name in ("b.json", "absent.txt"):
        with pytest.raises(ConfigError):
            read_entries(tmp_path / name)


def test_a_balanced_selection(make_pool, pair, picture, tmp_path: Path, uid_of):
    captions = ["a cat"] * 40 + ["a dog"] * 3 + ["nothing"] * 2
    pool = make_pool([[pair(f"{n:03d}", picture((n, 1, 1)), text, uid_of(n)) for n, text in enumerate(captions)]])
    (tmp_path / "list.txt").write_text("cat\ndog\n")
    scorer = MetadataScorerConfig(name="metadata", entries=tmp_path / "list.txt")
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "entries", scorer=scorer))
    config = {"pools": pool.path, "scores": {"m": tmp_path / "entries"}, "balance": {"column": "entries", "cap": 10}}
    account = run.select(SelectConfig.from_values({**config, "output": tmp_path / "subset"})).account
    assert account.rejected["no entry of the metadata"] == 2
    assert 5 <= account.num_kept - 3 <= 16  # 10 of the cats expected, standard deviation 2.7
    account = run.select(
        SelectConfig.from_values({**config, "output": tmp_path / "s", "keep": "num_entries > 0"})
    ).account
    assert account.rejected["m.num_entries > 0"] == 2
