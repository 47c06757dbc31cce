"""The language of selections: parses text into a tree, and writes the tree as normalised text. Nothing is eval'ed.

    rule       = step { "then" step }                 a step sees only what the steps before it have kept
    step       = both { "or" both }
    both       = term { "and" term }
    term       = "not" term | "(" rule ")" | "all" | condition
    condition  = column ( "<" | "<=" | "==" | "!=" | ">=" | ">" ) ( value | "quantile" "(" number ")" ) [ per ]
               | column "in" ( "top" | "bottom" ) "(" ( percentage | count ) ")" [ per ]
               | column "in" "(" value { "," value } ")"
               | column "is" [ "not" ] "null"
               | "uid" "in" string                    a subset: a dataset, or a .npy of dtype u8,u8
               | "one" per                            one sample per value of the column
    per        = "per" column                         ranks and quantiles among the samples of each value
    value      = number | string | "true" | "false"

A column is `LABEL.COLUMN` of a score dataset, a short name that only one column can mean, or `source`, the pool's name.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any, NoReturn

from oqvl_shards.errors import ConfigError

_MAX_DEPTH = 50
"""Maximum nesting of parentheses and `not`."""

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}

_MAX_DIGITS = 400
"""Longest whole number that is converted exactly; a longer one is larger than any float64, or mostly zeros."""

_KEYWORDS = frozenset("all and bottom false in is not null one or per quantile then top true uid".split())

Value = bool | int | float | str


@dataclass(frozen=True)
class Name:
    """A column's name.

    Args:
        text: The name in the rule, or `LABEL.COLUMN` once it is resolved.
        at: Its position in the rule, 0-based.
    """

    text: str
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Everything:
    """Holds for every sample."""

    def __str__(self) -> str:
        return "all"


@dataclass(frozen=True)
class Quantile:
    """The smallest value that at least this share of the samples in scope does not exceed.

    Args:
        share: 0 to 1.
    """

    share: Fraction

    def __str__(self) -> str:
        return f"quantile({_exactly(self.share)})"


@dataclass(frozen=True)
class Comparison:
    """Compares a column with a value, or with a quantile of the same column."""

    column: Name
    operator: str
    value: Value | Quantile
    per: Name | None = None

    def __str__(self) -> str:
        value = self.value if isinstance(self.value, Quantile) else _literal(self.value)
        return f"{self.column} {self.operator} {value}{_per(self.per)}"


@dataclass(frozen=True)
class Rank:
    """Holds for the highest (or lowest) values in scope.

    Args:
        column: The column that is ranked.
        amount: A share of the samples with a value, or an exact count.
        lowest: Whether low values rank first.
        per: Samples are ranked separately for each value of this column; None: all together.
    """

    column: Name
    amount: Fraction | int
    lowest: bool = False
    per: Name | None = None

    def __str__(self) -> str:
        amount = self.amount if isinstance(self.amount, int) else f"{_decimal(self.amount * 100)}%"
        return f"{self.column} in {'bottom' if self.lowest else 'top'}({amount}){_per(self.per)}"


@dataclass(frozen=True)
class Among:
    """Holds if a column has one of some values."""

    column: Name
    values: tuple[Value, ...]

    def __str__(self) -> str:
        return f"{self.column} in ({', '.join(map(_literal, self.values))})"


@dataclass(frozen=True)
class Null:
    """Holds if a column has no value, or with `negated` if it has one."""

    column: Name
    negated: bool = False

    def __str__(self) -> str:
        return f"{self.column} is {'not ' if self.negated else ''}null"


@dataclass(frozen=True)
class Member:
    """Holds for the uids of a subset.

    Args:
        path: Path of the subset.
        at: Position of the path in the rule, 0-based.
        num_shown: Number of parts, from the end of the path, that the rule's text shows.
    """

    path: str
    at: int = field(default=0, compare=False)
    num_shown: int = field(default=1, compare=False)

    def __str__(self) -> str:
        # A full path only means something on one machine; the lineage records the content by its digest.
        return f"uid in {_literal(_end_of(self.path, self.num_shown))}"


@dataclass(frozen=True)
class OnePer:
    """Holds for one sample per value of a column: the one whose uid has the smallest hash."""

    column: Name

    def __str__(self) -> str:
        return f"one{_per(self.column)}"


@dataclass(frozen=True)
class Not:
    """Holds if another rule does not."""

    negated: Rule

    def __str__(self) -> str:
        return f"not {_enclosed(self.negated, And, Or, Then)}"


@dataclass(frozen=True)
class And:
    """Holds if all of its items do."""

    items: tuple[Rule, ...]

    def __str__(self) -> str:
        return " and ".join(_enclosed(item, Or, Then) for item in self.items)


@dataclass(frozen=True)
class Or:
    """Holds if one of its items does."""

    items: tuple[Rule, ...]

    def __str__(self) -> str:
        return " or ".join(_enclosed(item, Then) for item in self.items)


@dataclass(frozen=True)
class Then:
    """Holds if all of its steps do; each step sees only what the previous steps kept."""

    items: tuple[Rule, ...]

    def __str__(self) -> str:
        return " then ".join(map(str, self.items))


Condition = Comparison | Rank | Among | Null | Member | OnePer
Rule = Everything | Condition | Not | And | Or | Then


@dataclass(frozen=True)
class ConditionCount:
    """How many samples in its scope one condition holds for.

    Args:
        text: The condition.
        num_true: Samples that it holds for.
        num_null: Samples without a value in its column.
    """

    text: str
    num_true: int
    num_null: int


def parse_rule(text: str) -> Rule:
    """Parse a rule.

    Raises:
        ConfigError: If it does not follow the grammar; the message points at the character.
    """
    return _Parser(text).parse()


def resolve_names(rule: Rule, resolve: Callable[[Name], str]) -> Rule:
    """Return `rule` with every column's name replaced by what `resolve` returns for it."""

    def convert(value: Any) -> Any:
        if isinstance(value, Name):
            return Name(resolve(value), value.at)
        if isinstance(value, tuple):
            return tuple(map(convert, value))
        if isinstance(value, Rule):
            return resolve_names(value, resolve)
        return value

    return replace(rule, **{part.name: convert(getattr(rule, part.name)) for part in fields(rule) if part.init})


def conditions(rule: Rule) -> Iterator[Condition]:
    """Yield the conditions in `rule` in the order of its text."""
    match rule:
        case And(items) | Or(items) | Then(items):
            for item in items:
                yield from conditions(item)
        case Not(negated):
            yield from conditions(negated)
        case Everything():
            return
        case _:
            yield rule


def subset_paths(rule: Rule) -> list[str]:
    """Return the distinct paths of the subsets that `rule` names, in order."""
    return list(dict.fromkeys(condition.path for condition in conditions(rule) if isinstance(condition, Member)))


def tell_subsets_apart(rule: Rule) -> Rule:
    """Return `rule` with as many folders shown of each subset's path as make its text unique.

    `a/subset` and `b/subset` would otherwise read the same in reports and in the lineage.
    """
    paths = subset_paths(rule)
    numbers = {}
    for path in paths:
        wanted = range(1, len(_parts(path)) + 1)
        is_unique = (sum(_end_of(other, num) == _end_of(path, num) for other in paths) == 1 for num in wanted)
        numbers[path] = next((num for num, unique in zip(wanted, is_unique, strict=True) if unique), wanted[-1])

    def convert(part: Rule) -> Rule:
        match part:
            case Member(path):
                return replace(part, num_shown=numbers[path])
            case Not(negated):
                return Not(convert(negated))
            case And(items) | Or(items) | Then(items):
                return replace(part, items=tuple(map(convert, items)))
            case _:
                return part

    return convert(rule)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part] or [path]


def _end_of(path: str, num_parts: int) -> str:
    return "/".join(_parts(path)[-num_parts:])


def rule_error(text: str, at: int, problem: str, hint: str = "") -> ConfigError:
    """Return an error that shows the line of the rule with a mark under a character.

    Args:
        text: The rule.
        at: Index of the character, 0-based.
        problem: What was found and what was expected.
        hint: What to do.
    """
    start = text.rfind("\n", 0, at) + 1
    line = text[start:].partition("\n")[0].replace("\t", " ")
    number = text.count("\n", 0, at) + 1
    where = f"line {number}, character {at - start + 1}" if "\n" in text else f"character {at + 1}"
    # Of a long line only the surroundings are shown.
    cut = max(at - start - 60, 0)
    shown = f"  {line[cut : cut + 100]}\n  {' ' * (at - start - cut)}^"
    return ConfigError(f"the rule at {where}: {problem}\n{shown}", hint=hint)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else repr(self.text)


_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?%?)
      | (?P<word>[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)?)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<sign><=|>=|==|!=|[<>(),])""",
    re.VERBOSE | re.ASCII,
)


class _Parser:
    """A recursive descent parser with one method per line of the grammar."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._scan())
        self._place = 0
        self._depth = 0

    def parse(self) -> Rule:
        rule = self._rule()
        if self._next.kind != "end":
            self._fail("and, or, then or the end")
        return rule

    def _scan(self) -> Iterator[_Token]:
        """Yield the tokens of the text, and `end` after them.

        Raises:
            ConfigError: If a character starts no token.
        """
        at = 0
        while at < len(self._text):
            match = _TOKEN.match(self._text, at)
            if match is None:
                character = self._text[at]
                expected = {"=": "a comparison such as ==", '"': "a string that ends", "'": "a string that ends"}
                problem = f"found {character!r}, expected {expected.get(character, 'a name, a number or a string')}"
                raise rule_error(self._text, at, problem)
            if match.lastgroup != "space":
                assert match.lastgroup is not None
                yield _Token(match.lastgroup, match.group(), at)
            at = match.end()
        yield _Token("end", "", at)

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _take(self) -> _Token:
        token = self._next
        self._place += 1
        return token

    def _accept(self, *texts: str) -> _Token | None:
        is_fixed = self._next.kind in ("word", "sign")
        return self._take() if is_fixed and self._next.text in texts else None

    def _expect(self, *texts: str) -> _Token:
        return self._accept(*texts) or self._fail(" or ".join(texts))

    def _fail(self, expected: str, token: _Token | None = None, hint: str = "") -> NoReturn:
        token = token or self._next
        raise rule_error(self._text, token.at, f"found {token}, expected {expected}", hint)

    def _rule(self) -> Rule:
        return self._chain(Then, "then", self._step)

    def _step(self) -> Rule:
        return self._chain(Or, "or", self._both)

    def _both(self) -> Rule:
        return self._chain(And, "and", self._term)

    def _chain(self, node: type[And | Or | Then], word: str, parse_item: Callable[[], Rule]) -> Rule:
        items = [parse_item()]
        while self._accept(word):
            items.append(parse_item())
        if len(items) == 1:
            return items[0]
        # (a and b) and c is the same as a and b and c.
        flat = (part for item in items for part in (item.items if isinstance(item, node) else (item,)))
        return node(tuple(flat))

    def _term(self) -> Rule:
        """Parse a negation, a rule in parentheses, `all`, or a condition."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self._fail(f"at most {_MAX_DEPTH} levels of parentheses and not")
        try:
            if self._accept("not"):
                return Not(self._term())
            if self._accept("("):
                rule = self._rule()
                self._expect(")")
                return rule
            return Everything() if self._accept("all") else self._condition()
        finally:
            self._depth -= 1

    def _condition(self) -> Rule:
        """Parse one condition, from its first word on."""
        if self._accept("uid"):
            self._expect("in")
            if self._next.kind != "string":
                self._fail("the path of a subset in quotes")
            token = self._take()
            return Member(_unquote(token.text), token.at)
        if self._accept("one"):
            self._expect("per")
            return OnePer(self._column())
        column = self._column("a condition")
        if self._accept("is"):
            negated = self._accept("not") is not None
            self._expect("null")
            return Null(column, negated)
        if self._accept("in"):
            return self._rank_or_among(column)
        sign = self._accept(*COMPARISONS)
        if sign is None:
            self._fail(f"a comparison of {column} ({' '.join(COMPARISONS)}), in, or is null")
        if self._accept("quantile"):
            return Comparison(column, sign.text, self._quantile(), self._per())
        return Comparison(column, sign.text, self._value())

    def _rank_or_among(self, column: Name) -> Rule:
        if (word := self._accept("top", "bottom")) is not None:
            self._expect("(")
            amount = self._amount()
            self._expect(")")
            return Rank(column, amount, word.text == "bottom", self._per())
        self._accept("(") or self._fail("top(...), bottom(...) or values in parentheses")
        values = [self._value()]
        while self._accept(","):
            values.append(self._value())
        self._expect(")")
        return Among(column, tuple(values))

    def _per(self) -> Name | None:
        return self._column() if self._accept("per") else None

    def _column(self, expected: str = "a column") -> Name:
        token = self._next
        if token.kind != "word" or token.text in _KEYWORDS:
            self._fail(expected)
        self._take()
        return Name(token.text, token.at)

    def _amount(self) -> Fraction | int:
        token = self._take()
        expected = "a percentage such as 15% (above 0, up to 100) or a whole number of samples"
        if token.kind != "number":
            self._fail(expected, token)
        # Exactly the decimal fraction that was written: in binary, 29% of 100 would be 28.999.
        amount = _fraction(token.text.removesuffix("%"))
        if token.text.endswith("%") and 0 < amount <= 100:
            return amount / 100
        if token.text.endswith("%") or amount.denominator != 1 or amount < 1:
            self._fail(expected, token)
        return int(amount)

    def _quantile(self) -> Quantile:
        self._expect("(")
        token = self._take()
        share = _fraction(token.text) if token.kind == "number" and not token.text.endswith("%") else Fraction(-1)
        if not 0 <= share <= 1:
            self._fail("a number from 0 to 1", token)
        self._expect(")")
        return Quantile(share)

    def _value(self) -> Value:
        token = self._take()
        if token.kind == "string":
            return _unquote(token.text)
        if token.kind == "word" and token.text in ("true", "false"):
            return token.text == "true"
        if token.kind != "number" or token.text.endswith("%"):
            self._fail("a number, a string in quotes, true or false", token)
        digits = token.text.replace("_", "")
        # Digits by the thousand are no number of a column, and Python refuses to convert them.
        is_whole = re.fullmatch(r"[-+]?\d+", digits) is not None and len(digits) <= _MAX_DIGITS
        value = int(digits) if is_whole else float(digits)
        if (isinstance(value, float) and not math.isfinite(value)) or abs(value) >= 1 << 64:
            self._fail("a number that a column can hold", token)
        return value


def _fraction(digits: str) -> Fraction:
    # An exponent in the millions would make a fraction of millions of digits.
    number = Decimal(digits)
    is_short = len(number.as_tuple().digits) <= 20 and abs(number.adjusted()) < 100
    return Fraction(number) if is_short else Fraction(-1)


def _unquote(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)


def _decimal(value: Fraction) -> str:
    return str(int(value)) if value.denominator == 1 else _exactly(value)


def _exactly(value: Fraction) -> str:
    """Return a decimal fraction in digits that read as the same number."""
    shortest = repr(float(value))
    if Fraction(shortest) == value:
        return shortest
    with localcontext(prec=40):  # `_fraction` reads up to 20 digits
        return str(Decimal(value.numerator) / value.denominator)


def _per(column: Name | None) -> str:
    return "" if column is None else f" per {column}"


def _enclosed(rule: Rule, *looser: type[Rule]) -> str:
    return f"({rule})" if isinstance(rule, looser) else str(rule)
