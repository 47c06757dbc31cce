"""Rules as trees: what is printed reads as the same tree, and numbers mean exactly what was written."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from oqvl_filter.selection.expression import (
    COMPARISONS,
    Among,
    And,
    Comparison,
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

columns = st.sampled_from(["clip", "su", "rules.width", "source", "a-b.c_d"])
texts = st.text(st.sampled_from("ab \"'\\.é{%"), max_size=6)


def quoted(text: str, quote: str) -> str:
    """A string of the language, with either quote."""
    escaped = text.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    return f"{quote}{escaped}{quote}"


strings = st.builds(quoted, texts, st.sampled_from("\"'"))
decimals = st.builds(
    lambda whole, part, exponent: f"{whole}.{part:03d}{exponent}",
    st.integers(0, 99),
    st.integers(0, 999),
    st.sampled_from(["", "e2", "E-3"]),
)
numbers = st.one_of(st.integers(-(2**63), 2**64 - 1).map(str), decimals, decimals.map(lambda digits: f"-{digits}"))
literals = st.one_of(numbers, strings, st.sampled_from(["true", "false"]))
pers = st.one_of(st.just(""), columns.map(lambda name: f" per {name}"))
percentages = st.integers(1, 100_000).map(lambda thousandths: f"{Decimal(thousandths) / 1000}%")
amounts = st.one_of(st.integers(1, 10**6).map(str), percentages)
conditions_in_text = st.one_of(
    st.builds("{} {} {}".format, columns, st.sampled_from(sorted(COMPARISONS)), literals),
    st.builds(
        "{} {} quantile({}){}".format,
        columns,
        st.sampled_from(sorted(COMPARISONS)),
        st.integers(0, 1000).map(lambda thousandths: str(Decimal(thousandths) / 1000)),
        pers,
    ),
    st.builds("{} in {}({}){}".format, columns, st.sampled_from(["top", "bottom"]), amounts, pers),
    st.builds("{} in ({})".format, columns, st.lists(literals, min_size=1, max_size=3).map(", ".join)),
    st.builds("{} is {}null".format, columns, st.sampled_from(["", "not "])),
    st.builds("uid in {}".format, strings.filter(lambda text: len(text) > 2)),
    st.builds("one per {}".format, columns),
    st.just("all"),
)
rules_in_text = st.recursive(
    conditions_in_text,
    lambda inner: st.one_of(
        st.builds("({})".format, inner),
        st.builds("not ({})".format, inner),
        st.builds(
            lambda word, items: f" {word} ".join(items),
            st.sampled_from(["and", "or", "then"]),
            st.lists(inner, min_size=2, max_size=3),
        ),
    ),
    max_leaves=7,
)


@settings(max_examples=40)
@given(rules_in_text)
def test_a_printed_rule_is_the_same_tree(text: str):
    rule = parse_rule(text)
    shown_in_full = " ".join(path for path in subset_paths(rule))
    assume("/" not in shown_in_full)
    assert parse_rule(str(rule)) == rule


@settings(max_examples=40)
@given(rules_in_text)
def test_the_tree_of_a_text_has_no_node_within_a_node_of_its_kind(text: str):
    def check(rule: Rule) -> None:
        match rule:
            case And(items) | Or(items) | Then(items):
                assert len(items) > 1
                assert not any(type(item) is type(rule) for item in items)
                for item in items:
                    check(item)
            case Not(negated):
                check(negated)

    check(parse_rule(text))


@settings(max_examples=40)
@given(rules_in_text, rules_in_text)
def test_a_rule_in_parentheses_may_be_joined_to_any_other(left: str, right: str):
    for word, node in (("and", And), ("or", Or), ("then", Then)):
        joined = parse_rule(f"({left}) {word} ({right})")
        assert isinstance(joined, node)
        items: list[Rule] = []
        for rule in (parse_rule(left), parse_rule(right)):
            items += rule.items if isinstance(rule, node) else (rule,)
        assert joined.items == tuple(items)
        assert parse_rule(str(joined)) == joined


def condition_texts(rule: Rule) -> list[str]:
    return [str(condition) for condition in conditions(rule)]


@settings(max_examples=40)
@given(rules_in_text)
def test_conditions_come_in_the_order_of_the_text_and_each_is_a_rule(text: str):
    rule = parse_rule(text)
    printed, place = str(rule), 0
    for condition in condition_texts(rule):
        place = printed.index(condition, place) + len(condition)
        assert str(parse_rule(condition)) == condition


@settings(max_examples=40)
@given(rules_in_text)
def test_names_point_at_their_place_in_the_text(text: str):
    def check(name: Name) -> str:
        assert text[name.at :].startswith(name.text)
        return name.text

    rule = parse_rule(text)
    assert resolve_names(rule, check) == rule


spaces = st.sampled_from([" ", "  ", "\n", "\t", " \n "])


@settings(max_examples=40)
@given(rules_in_text, spaces)
def test_white_space_between_words_means_nothing(text: str, space: str):
    assume('"' not in text and "'" not in text)
    assert parse_rule(space + text.replace(" ", space) + space) == parse_rule(text)


written = st.one_of(
    st.builds("{}.{}".format, st.integers(0, 99), st.text("0123456789", min_size=1, max_size=17)),
    st.builds(".{}".format, st.text("0123456789", min_size=1, max_size=19)),
    st.builds("{}e-{}".format, st.integers(1, 10**9), st.integers(0, 99)),
)


@settings(max_examples=40)
@given(written)
def test_a_percentage_is_the_decimal_fraction_that_was_written(digits: str):
    exact = Fraction(Decimal(digits))
    assume(0 < exact <= 100 and Decimal(digits).adjusted() > -100)
    rule = parse_rule(f"clip in top({digits}%)")
    assert isinstance(rule, Rank)
    assert rule.amount == exact / 100
    assert parse_rule(str(rule)) == rule


@settings(max_examples=40)
@given(written)
def test_a_quantile_is_the_decimal_fraction_that_was_written(digits: str):
    exact = Fraction(Decimal(digits))
    assume(exact <= 1 and Decimal(digits).adjusted() > -100)
    rule = parse_rule(f"clip >= quantile({digits})")
    assert rule == Comparison(Name("clip"), ">=", Quantile(exact))
    assert parse_rule(str(rule)) == rule


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("clip in top(.0001234567890123456%)", "clip in top(0.0001234567890123456%)"),
        ("clip in top(29.00000000000000001%)", "clip in top(29.00000000000000001%)"),
        ("clip in top(1e-5%)", "clip in top(1e-05%)"),
        ("clip in top(29.50%)", "clip in top(29.5%)"),
        ("clip in top(100%)", "clip in top(100%)"),
        ("clip > quantile(1)", "clip > quantile(1.0)"),
        ("clip > quantile(.70)", "clip > quantile(0.7)"),
        ("clip > 1_000", "clip > 1000"),
        ("clip > +5.", "clip > 5.0"),
        ("clip > 1e3", "clip > 1000.0"),
        ("clip == 18446744073709551615", "clip == 18446744073709551615"),
    ],
)
def test_numbers_are_printed_as_short_as_exact(text: str, shown: str):
    assert str(parse_rule(text)) == shown
    assert parse_rule(shown) == parse_rule(text)


@pytest.mark.parametrize("number", ["1" * 5000, "-" + "9" * 400, "18446744073709551616", "1e309", "-1e20"])
def test_a_number_beyond_every_column_is_an_error_at_its_place(number: str):
    with pytest.raises(ConfigError, match="expected a number that a column can hold") as error:
        parse_rule(f"su > 1 and clip > {number}")
    assert "the rule at character 19:" in error.value.message


@pytest.mark.parametrize("amount", ["1e99999999%", "1e-1000%", "1" * 30, "0.000", "-5%", "100.01%", "1_0.5"])
def test_an_amount_that_cannot_be_meant_is_an_error_at_its_place(amount: str):
    with pytest.raises(ConfigError, match="expected a percentage such as 15%") as error:
        parse_rule(f"clip in top({amount})")
    assert "the rule at character 13:" in error.value.message


paths = st.lists(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join), min_size=1, max_size=4, unique=True
)


@settings(max_examples=40)
@given(paths)
def test_subsets_are_shown_apart_with_the_end_of_their_paths(subset_names: list[str]):
    rule = parse_rule(" or ".join(f"uid in '/data/{path}'" for path in subset_names))
    shown = tell_subsets_apart(rule)
    assert shown == rule, "what is shown does not change what is meant"
    members = [condition for condition in conditions(shown) if isinstance(condition, Member)]
    ends = [str(member).removeprefix('uid in "').removesuffix('"') for member in members]
    assert len(set(ends)) == len(subset_names)
    for member, end in zip(members, ends, strict=True):
        assert member.path.endswith(f"/{end}")
        # One folder fewer would not do.
        shorter = end.partition("/")[2]
        assert (
            not shorter or sum(f"{path}".endswith(f"/{shorter}") for path in map("/data/{}".format, subset_names)) > 1
        )


@settings(max_examples=40)
@given(texts)
def test_a_string_may_hold_quotes_and_backslashes(text: str):
    for quote in "\"'":
        rule = parse_rule(f"text.caption == {quoted(text, quote)}")
        assert rule == Comparison(Name("text.caption"), "==", text)
        assert parse_rule(str(rule)) == rule


@settings(max_examples=40)
@given(st.lists(st.sampled_from(["clip", "su", "x.y"]), min_size=1, max_size=4))
def test_every_kind_of_condition_names_its_columns(names: list[str]):
    rule = And(
        (
            *(Null(Name(name)) for name in names),
            OnePer(Name("x.one")),
            Rank(Name("x.rank"), 3, per=Name("x.per")),
            Among(Name("x.among"), ("a", 1)),
            Comparison(Name("x.compared"), "<", Quantile(Fraction(1, 2)), Name("x.group")),
        )
    )
    seen: list[str] = []
    resolve_names(rule, lambda name: seen.append(name.text) or name.text)
    assert seen == [*names, "x.one", "x.rank", "x.per", "x.among", "x.compared", "x.group"]
