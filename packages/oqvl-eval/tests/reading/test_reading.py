"""What holds for every reader: nothing is guessed, and what carries no meaning changes nothing."""

from __future__ import annotations

import importlib
import itertools
import re
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_eval.reading.choice import read_choice
from oqvl_eval.reading.number import read_number
from oqvl_eval.reading.reading import Reading
from oqvl_eval.reading.text import read_text
from oqvl_eval.reading.yes_no import read_yes_no

THINGS: dict[str, str] = {letter: f"thing number {number}" for number, letter in enumerate(string.ascii_uppercase)}
READERS: dict[str, Callable[[str], Reading]] = {
    "choice": lambda output: read_choice(output, THINGS),
    "yes_no": read_yes_no,
    "number": read_number,
    "text": read_text,
}
# Outputs of every status, for each reader, without marks of reasoning.
OUTPUTS = {
    "choice": [
        "B",
        "(I)",
        "The answer is A because it fits",
        "A or I",
        "not A",
        "A dog is here",
        "I am not sure",
        "A. It fits\nI think",
    ],
    "yes_no": [
        "Yes",
        "No, there is none",
        "The answer is no",
        "Yes or no",
        "not yes",
        "There is a dog",
        "I do not know",
        "no dog",
    ],
    "number": [
        "5",
        "1,200.5 cm",
        "The answer is 3/4",
        "5 or 6",
        "not 5",
        "There are 5 dogs",
        "I cannot tell",
        "5k",
        "x = 5",
    ],
    "text": ["Paris", "The answer is Paris", "not Paris", "I don't know", "Answer: Paris\nIt fits", "Is it Paris?"],
}
CASES = [(name, output) for name, outputs in OUTPUTS.items() for output in outputs]
BLOCKS = [
    ("<think>", "</think>"),
    ("<THINKING>", "</THINKING>"),
    ("<reflection>", "</reflection>"),
    ("[THINK]", "[/THINK]"),
]
CONTENT = st.text(alphabet=st.characters(exclude_characters="<[>]\u25c1\uff1c")) | st.sampled_from(
    ["B", "The answer is C. No.", "no", "Yes.", "7", r"\boxed{A}", "I don't know", "Final answer: D", "Rome", "\n\nA\n"]
)


def essence(reading: Reading) -> tuple[str, str]:
    return reading.status, reading.answer


@pytest.mark.parametrize(("reader", "output"), CASES)
@given(content=CONTENT, inner=CONTENT, block=st.sampled_from(BLOCKS), where=st.integers(0, 20))
def test_reasoning_is_never_read(reader, output, content, inner, block, where):
    opening, closing = block
    where = min(where, len(output))
    read = READERS[reader]
    expected = essence(read(output))
    reasoning = f"{opening}{content}{opening}{inner}{closing}{content}{closing}"
    assert essence(read(output[:where] + reasoning + output[where:])) == expected
    assert essence(read(f"{content}</think>{output}")) == expected
    assert read(f"{output}{opening}{content}").status == "no_answer"


@pytest.mark.parametrize(("reader", "output"), CASES)
@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r", "\n\n", " \n ", "\u2028", "\x0b"])
@pytest.mark.parametrize("space", [" ", "  ", "\u00a0", "\t", "\u3000", " \u200b"])
def test_white_space_changes_nothing(reader, output, line_break, space):
    read = READERS[reader]
    changed = output.replace(" ", space).replace("\n", line_break)
    for variant in (changed, f" {changed}\n", f"\u200b\ufeff{changed}{line_break}"):
        assert essence(read(variant)) == essence(read(output))


@pytest.mark.parametrize(("reader", "output"), CASES)
def test_width_changes_nothing(reader, output):
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in output)
    assert essence(READERS[reader](wide)) == essence(READERS[reader](output))


DECORATIONS = [
    "**{}**",
    "__{}__",
    "`{}`",
    "<b>{}</b>",
    "<p>{}</p>",
    "### {}",
    "> {}",
    "{}<br>",
    "\n{}\n",
    "<answer>{}</answer>",
]
CHOICE_DECORATIONS = [
    *DECORATIONS,
    "({})",
    "[{}]",
    '"{}"',
    "\u201c{}\u201d",
    "{}.",
    r"\text{{{}}}",
    "${}$",
    "{}\u3002",
    "\uff08{}\uff09",
]


@pytest.mark.parametrize(
    ("reader", "answer"), [("choice", "A"), ("choice", "I"), ("yes_no", "no"), ("number", "5"), ("text", "Paris")]
)
@given(st.lists(st.sampled_from(DECORATIONS), max_size=3))
def test_decoration_changes_nothing(reader, answer, decorations):
    decorated = answer
    for decoration in decorations:
        decorated = decoration.format(decorated)
    assert essence(READERS[reader](decorated)) == ("read", answer)


@given(st.sampled_from(string.ascii_uppercase), st.lists(st.sampled_from(CHOICE_DECORATIONS), max_size=2))
def test_a_decorated_letter_is_that_letter(letter, decorations):
    decorated = letter
    for decoration in decorations:
        decorated = decoration.format(decorated)
    assert essence(READERS["choice"](decorated)) == ("read", letter)


ANSWERS = {
    "choice": [
        "{}",
        "({})",
        "{}.",
        "**{}**",
        "The answer is {}",
        "Answer: {}",
        "I choose {}",
        "\\boxed{{{}}}",
        "答案是{}",
        "选{}",
    ],
    "yes_no": ["{}", "**{}**", "The answer is {}", "Answer: {}", "答案是{}"],
    "number": ["{}", "**{}**", "The answer is {}", "Answer: {}", "\\boxed{{{}}}", "答案是{}"],
    "text": ["{}", "**{}**", "The answer is {}", "Answer: {}", "\\boxed{{{}}}", "答案是{}"],
}
VALUES = {
    "choice": ["A", "B", "I", "Z"],
    "yes_no": ["yes", "no"],
    "number": ["5", "-1.5"],
    "text": ["Paris", "red car"],
}
EXPLANATIONS = [
    *(
        "Because it fits.",
        "The picture shows a dog.",
        "A dog is larger than a cat.",
        "I looked at it twice.",
        "It has four legs.",
        "因为它大。",
    ),
    *(
        "Nothing else fits.",
        "All others are too small.",
        "This is what the picture shows.",
        "I cannot see its tail, though.",
        "What a nice dog!",
    ),
]
NONSENSE = st.text(alphabet="bcdfghjklm ", max_size=60).map(lambda text: "zz".join(["", *text.split(), ""]))


@pytest.mark.parametrize("reader", READERS)
@given(st.data())
def test_an_explanation_changes_nothing(reader, data):
    answer = data.draw(st.sampled_from(VALUES[reader]))
    said = data.draw(st.sampled_from(ANSWERS[reader])).format(answer)
    explanation = data.draw(st.sampled_from(EXPLANATIONS) | NONSENSE)
    assert essence(READERS[reader](f"{said}\n{explanation}")) == ("read", answer)
    assert essence(READERS[reader](f"{said}\n\nExplanation: {explanation}")) == ("read", answer)


@given(
    st.permutations(string.ascii_uppercase),
    st.sampled_from(["{}. It fits", "so {}", "{} or {}", "not {}", "{} is red", "{} because {} fits", "{}. Wait, {}."]),
)
def test_letters_are_all_alike(letters, template):
    renamed = dict(zip(letters, THINGS.values(), strict=True))
    first = read_choice(template.format("C", "D"), THINGS)
    second = read_choice(template.format(letters[2], letters[3]), renamed)
    assert second.status == first.status
    assert second.rule == first.rule
    assert second.answer == (letters["ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(first.answer)] if first.answer else "")


@pytest.mark.parametrize("reader", ["choice", "yes_no", "number"])
@given(st.text(alphabet="bcdfgklmprstuwx ,;\n", max_size=80))
def test_unknown_phrases_are_never_read(reader, text):
    # No letter stands alone here, and neither yes, no nor a digit can be spelled.
    words = re.sub(r"(?<![a-z])[a-z](?![a-z])", "zz", text)
    assert READERS[reader](words).status in ("unread", "no_answer")


FRAGMENTS = st.sampled_from(
    [
        *"<think> </think> <answer> </answer> <b> </b> <B> ** __ ` $ \\boxed{ \\text{ \\frac{1}{2} } ( ) [ ]".split(),
        *"A B I a . , : ; ? ! - / yes no not 5 1,000 % =".split(),
        *"answer is choose so wait actually final or and because".split(),
        *"选 答案是 不 是 或 <|channel|>final<|message|> Question: thing number 3".split(),
        *("\u200b", "\r", "\n", "\ud800", "\u0130", "\U0001d401"),
    ]
)
ANYTHING = st.text(alphabet=st.characters(exclude_categories=()), max_size=60) | st.lists(
    st.tuples(FRAGMENTS, st.sampled_from(["", " ", "\n"])).map("".join), max_size=14
).map("".join)


@pytest.mark.parametrize("reader", READERS)
@given(output=ANYTHING)
def test_any_text_is_read_or_named(reader, output):
    reading = READERS[reader](output)
    assert (reading.status == "read") == bool(reading.answer)
    assert reading.rule
    if reading.span is not None:
        start, end = reading.span
        assert 0 <= start < end <= len(output)
    assert READERS[reader](output) == reading


LONG = [
    *(
        "A",
        "A ",
        "A, ",
        "A\n",
        "A. thing\n",
        "so A ",
        "the answer is ",
        "no wait, ",
        "or A, ",
        "not A but ",
        "if ",
        "选A",
        "答案是",
        "correct word ",
    ),
    *(
        "<",
        "<think>",
        "<think>x</think>",
        "</",
        "**",
        "* ",
        "_a",
        "`",
        "$a",
        "\\",
        "\\text{",
        "\\boxed{",
        "{",
        "(",
        '"',
        "~~a",
        "# ",
        "\n",
        "  \n",
    ),
    *(
        " ",
        "\u200b",
        "5",
        "5,",
        "5/",
        "1 1/",
        "5 or ",
        "x = ",
        "is 5 ",
        "yes, ",
        "no ",
        "not sure ",
        "\nQuestion",
        "<answer>A</answer>",
        "\u0130",
    ),
]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("unit", LONG)
def test_long_outputs_are_read_to_the_end(reader, unit):
    # A pattern with catastrophic backtracking would not return from these.
    assert READERS[reader]((unit * 10_000)[:10_000]).status in ("read", "unread", "ambiguous", "refused", "no_answer")


@pytest.mark.parametrize("reader", READERS)
def test_a_hundred_thousand_characters(reader):
    output = ("The picture shows a dog, and it is not a cat. " * 2200)[:100_000]
    assert READERS[reader](output).status == ("read" if reader == "text" else "unread")


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    room = Path(str(importlib.import_module("oqvl_eval.reading").__file__)).parent
    for path in sorted(room.glob("*.py")):
        for name, value in vars(importlib.import_module(f"oqvl_eval.reading.{path.stem}")).items():
            values = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else [value]
            yield from ((f"{path.stem}.{name}", part) for part in values if isinstance(part, re.Pattern))


def unbounded_within_unbounded(tree: Any, is_repeated: bool = False) -> bool:
    """Return whether an unbounded repeat holds another, and both give back what they took."""
    parser = importlib.import_module("re._parser")
    for operator, argument in tree:
        parts = [part for part in _flat(argument) if isinstance(part, parser.SubPattern)]
        repeats = str(operator) in ("MAX_REPEAT", "MIN_REPEAT") and argument[1] is parser.MAXREPEAT
        if repeats and is_repeated:
            return True
        if any(unbounded_within_unbounded(part, is_repeated or repeats) for part in parts):
            return True
    return False


def _flat(argument: Any) -> Iterator[Any]:
    if isinstance(argument, (tuple, list)):
        yield from itertools.chain.from_iterable(_flat(part) for part in argument)
    else:
        yield argument


def test_no_pattern_backtracks_without_end():
    parse = importlib.import_module("re._parser").parse
    found = dict(patterns())
    assert len(found) > 40
    assert unbounded_within_unbounded(parse("(?:a+)+b"))
    assert [
        name for name, pattern in found.items() if unbounded_within_unbounded(parse(pattern.pattern, pattern.flags))
    ] == []
