"""The language: what it reads, how it says it again, and where its errors point."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter.selection.expression import (
    Among,
    And,
    Comparison,
    Everything,
    Member,
    Name,
    Not,
    Null,
    OnePer,
    Or,
    Quantile,
    Rank,
    Rule,
    Then,
    conditions,
    parse_rule,
    resolve_names,
    subset_paths,
    tell_subsets_apart,
)
from oqvl_shards.errors import ConfigError

CLIP, SU = Name("clip"), Name("su")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("clip >= 0.28 and su >= 85", And((Comparison(CLIP, ">=", 0.28), Comparison(SU, ">=", 85)))),
        ("clip in top(15%)", Rank(CLIP, Fraction(15, 100))),
        ("clip in bottom( 1_000 ) per source", Rank(CLIP, 1000, lowest=True, per=Name("source"))),
        ('su >= 85 or uid in "dfn.npy"', Or((Comparison(SU, ">=", 85), Member("dfn.npy")))),
        ("not uid in 'a b/c'", Not(Member("a b/c"))),
        ("clip >= quantile(0.7)", Comparison(CLIP, ">=", Quantile(Fraction(7, 10)))),
        ("text.lang in ('en', 'de')", Among(Name("text.lang"), ("en", "de"))),
        ("su is not null", Null(SU, negated=True)),
        ("su == -1e-3", Comparison(SU, "==", -0.001)),
        ("su != true", Comparison(SU, "!=", True)),
        ("all then one per clip", Then((Everything(), OnePer(CLIP)))),
        # or binds weaker than and, then weaker than both
        ("su > 1 and su > 2 or su > 3 then su > 4", "su > 1 and su > 2 or su > 3 then su > 4"),
        ("(su > 1 or su > 2) and su > 3", "(su > 1 or su > 2) and su > 3"),
        ("((su > 1) and (su > 2 and su > 3))", "su > 1 and su > 2 and su > 3"),
        ("not (su > 1 and not su > 2)", "not (su > 1 and not su > 2)"),
        ("(su > 1 then clip in top(29.5%)) or su > 3", "(su > 1 then clip in top(29.5%)) or su > 3"),
        ("a-b.c_d   >=\n 2", "a-b.c_d >= 2"),
    ],
)
def test_what_a_rule_means(text: str, rule: Rule | str):
    assert (str(parse_rule(text)) if isinstance(rule, str) else parse_rule(text)) == rule


names = st.sampled_from(["clip", "rules.width", "su", "source", "a-b.c"]).map(Name)
values = st.one_of(
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda v: abs(v) < 1e18),
    st.text(st.characters(exclude_characters="\n", codec="utf-8")),
)
shares = st.integers(0, 1000).map(lambda n: Fraction(n, 1000))
leaves = st.one_of(
    st.builds(Comparison, names, st.sampled_from(["<", "<=", "==", "!=", ">=", ">"]), values),
    st.builds(Comparison, names, st.just(">="), st.builds(Quantile, shares), st.none() | names),
    st.builds(Rank, names, st.one_of(st.integers(1, 10**9), shares.filter(bool)), st.booleans(), st.none() | names),
    st.builds(Among, names, st.lists(values, min_size=1, max_size=3).map(tuple)),
    st.builds(Null, names, st.booleans()),
    st.builds(Member, st.sampled_from(["a.npy", 'b "quoted"', "c\\d"])),
    st.builds(OnePer, names),
    st.just(Everything()),
)
rules = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        *(st.builds(node, st.lists(inner, min_size=2, max_size=3).map(tuple)) for node in (And, Or, Then)),
    ),
    max_leaves=8,
)


@given(rules)
def test_a_rule_says_what_it_reads(rule: Rule):
    text = str(rule)
    assert str(parse_rule(text)) == text


@given(st.text(alphabet="acs ()<>=!\"'%.,0159\n-and or not then in top one per is null uid all", max_size=40))
def test_any_text_is_a_rule_or_an_error_that_points_into_it(text: str):
    try:
        rule = parse_rule(text)
    except ConfigError as error:
        assert "^" in error.message
        return
    assert str(parse_rule(str(rule))) == str(rule)


@pytest.mark.parametrize(
    ("text", "problem", "place"),
    [
        ("clip = 3", "found '=', expected a comparison", 5),
        ("clip >= ", "found the end, expected a number", 8),
        ("clip in top(0.15)", "expected a percentage such as 15%", 12),
        ("clip in top(0%)", "expected a percentage", 12),
        ("clip in top(1e999999999)", "expected a percentage", 12),
        ("clip in top(2.5)", "expected a percentage", 12),
        ("clip >= quantile(70%)", "expected a number from 0 to 1", 17),
        ("clip su", "expected a comparison of clip", 5),
        ("(clip > 1", "expected )", 9),
        ("clip > 1)", "expected and, or, then or the end", 8),
        ("uid in dfn.npy", "expected the path of a subset in quotes", 7),
        ("clip > 15%", "expected a number, a string", 7),
        ("clip > 1e999", "a number that a column can hold", 7),
        ('clip == "en', "found '\"'", 8),
        ("top > 3", "found 'top', expected a condition", 0),
        ("__import__('os')", "expected a comparison of __import__", 10),
        ("", "found the end, expected a condition", 0),
        ("(" * 60 + "su > 1" + ")" * 60, "at most 50 levels", 50),
    ],
)
def test_an_error_points_at_its_character(text: str, problem: str, place: int):
    with pytest.raises(ConfigError) as caught:
        parse_rule(text)
    head, _, mark = caught.value.message.split("\n")
    assert problem in head
    assert f"the rule at character {place + 1}:" in head
    assert mark.index("^") - 2 == min(place, 60)


def test_an_error_in_a_rule_of_many_lines_shows_its_line():
    with pytest.raises(ConfigError, match=r"line 2, character 10: found 'many'(.|\n)*\n  and su > many\n           \^"):
        parse_rule("clip > 1\nand su > many\nor su > 3")


def test_names_are_replaced_wherever_they_stand():
    rule = parse_rule("not (clip > 1 then su in top(3) per lang) or clip is null and one per sha")
    seen: list[int] = []

    def resolve(name: Name) -> str:
        seen.append(name.at)
        return f"x.{name.text}"

    resolved = str(resolve_names(rule, resolve))
    assert resolved == "not (x.clip > 1 then x.su in top(3) per x.lang) or x.clip is null and one per x.sha"
    assert seen == [5, 19, 36, 45, 70]


def test_subsets_are_found_once_and_shown_without_their_folder():
    rule = parse_rule("uid in '/data/a.npy' and not (uid in 'b' or uid in '/data/a.npy')")
    assert subset_paths(rule) == ["/data/a.npy", "b"]
    assert str(rule) == 'uid in "a.npy" and not (uid in "b" or uid in "a.npy")'
    assert len(list(conditions(rule))) == 3


@pytest.mark.parametrize(
    ("paths", "shown"),
    [
        (["/x/a/s.npy", "/x/b/s.npy", "c.npy"], ["a/s.npy", "b/s.npy", "c.npy"]),
        (["/x/a/s.npy", "/y/a/s.npy"], ["x/a/s.npy", "y/a/s.npy"]),
        (["s.npy", "a/s.npy", "s.npy"], ["s.npy", "a/s.npy", "s.npy"]),
        (["/x/a/", "/x/b"], ["a", "b"]),
    ],
)
def test_subsets_of_one_name_are_written_with_as_much_of_their_path_as_it_takes(paths: list[str], shown: list[str]):
    rule = tell_subsets_apart(parse_rule(" and not ".join(f"uid in '{path}'" for path in paths)))
    assert str(rule) == " and not ".join(f'uid in "{name}"' for name in shown)
    assert subset_paths(rule) == list(dict.fromkeys(paths))
