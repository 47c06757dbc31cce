from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from oqvl_eval import ImageRef, Item
from oqvl_eval.config import PromptConfig
from oqvl_eval.prompt import continuations, prompt_sha256, render, resolve_style

RED, BLUE = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
ITEM = Item("q", "q", (ImageRef("a"), "What is on the plate?"), ("an apple", "a pear"), "B")
OPEN = Item("q", "q", (ImageRef("a"), "What is on the plate?"), (), "pear")


def rendered(item=ITEM, images=(RED,), chat=False, list_choices=True, **fields):
    return render(item, images, resolve_style(PromptConfig(**fields), chat), list_choices=list_choices)


def test_completion_ends_on_the_cue():
    assert rendered() == [RED, "\nWhat is on the plate?\nA. an apple\nB. a pear\nAnswer:"]


def test_instruction_ends_on_the_instruction():
    text = "\nWhat is on the plate?\nA. an apple\nB. a pear\nReply with the letter of the right option only."
    assert rendered(chat=True) == [RED, text]


def test_open_questions():
    assert rendered(OPEN) == [RED, "\nWhat is on the plate?\nAnswer:"]
    text = "\nWhat is on the plate?\nReply with one word or a short phrase only."
    assert rendered(OPEN, chat=True) == [RED, text]


def test_the_style_can_be_fixed():
    assert rendered(chat=True, style="completion") == rendered()


def test_unlisted_options():
    assert rendered(list_choices=False) == rendered(OPEN)


def test_pictures_stand_where_their_segments_do():
    item = Item("q", "q", ("Is ", ImageRef("a"), "before ", ImageRef("b"), "?"), (), "yes")
    assert rendered(item, (RED, BLUE), image_separator=" ") == ["Is ", RED, " before ", BLUE, " ?\nAnswer:"]


def test_every_field_of_the_layout_counts():
    prompt = rendered(
        before="Look. ", image_separator=" | ", choice_line="({letter}) {choice}", answer_cue="So:", style="completion"
    )
    assert prompt == ["Look. ", RED, " | What is on the plate?\n(A) an apple\n(B) a pear\nSo:"]


def test_braces_in_options_are_text():
    item = Item("q", "q", ("?",), ("{letter}", "{0}"), "A")
    assert rendered(item, ()) == ["?\nA. {letter}\nB. {0}\nAnswer:"]


def test_empty_lines_are_left_out():
    assert rendered(answer_cue="") == [RED, "\nWhat is on the plate?\nA. an apple\nB. a pear"]
    caption = Item("q", "q", (ImageRef("a"),), ("an apple", "a pear"), "B")
    assert rendered(caption, answer_cue="", list_choices=False) == [RED, "\n"]
    assert rendered(caption, list_choices=False) == [RED, "\nAnswer:"]
    assert rendered(caption, list_choices=False, image_separator="") == [RED, "\nAnswer:"]
    assert rendered(caption, list_choices=False, image_separator="", answer_cue="") == [RED]


def test_letters_are_scored_with_and_without_a_space():
    assert continuations(ITEM, ["?"], "letter", chat=False) == [(0, " A"), (0, "A"), (1, " B"), (1, "B")]


@pytest.mark.parametrize(
    ("prompt", "chat", "space"),
    [
        ([RED, "Answer:"], False, " "),
        ([RED, "Answer:"], True, ""),
        ([RED, "Answer: "], False, ""),
        ([RED, "\n"], False, ""),
        ([RED], False, ""),
    ],
)
def test_texts_are_scored_once(prompt, chat, space):
    assert continuations(ITEM, prompt, "text", chat=chat) == [(0, f"{space}an apple"), (1, f"{space}a pear")]


def test_options_that_are_shown_are_not_listed_again():
    item = Item("q", "q", ("Which? A: x, B: y",), ("x", "y"), "A", shows_options=True)
    assert rendered(item, ()) == ["Which? A: x, B: y\nAnswer:"]
    assert rendered(item, (), chat=True) == ["Which? A: x, B: y\nReply with the letter of the right option only."]


def test_yes_or_no():
    item = Item("q", "q", ("Is it red?",), ("yes", "no"), "no", rule="yes_no")
    assert rendered(item, ()) == ["Is it red?\nAnswer:"]
    assert rendered(item, (), chat=True) == ["Is it red?\nReply with yes or no only."]
    scored = continuations(item, ["?"], "letter", chat=False)
    assert scored[:4] == [(0, " yes"), (0, "yes"), (0, " Yes"), (0, "Yes")]
    assert {index for index, _ in scored[4:]} == {1}


def test_the_digest_follows_text_pictures_and_chat():
    prompt = [RED, "x"]
    digests = {
        prompt_sha256(prompt, ["a"], False),
        prompt_sha256(prompt, ["b"], False),
        prompt_sha256(prompt, ["a"], True),
        prompt_sha256([RED, "y"], ["a"], False),
        prompt_sha256(["x", RED], ["a"], False),
    }
    assert len(digests) == 5
    assert prompt_sha256([BLUE, "x"], ["a"], False) in digests  # a picture is known by its file


LOOK = Item("q", "q", (ImageRef("a"), "Is it red?"), ("yes", "no"), "no", rule="yes_no")
SHOWN = Item("q", "q", (ImageRef("a"), "Which? A: x, B: y"), ("x", "y"), "A", shows_options=True)
LETTER = "Reply with the letter of the right option only."
SHORT = "Reply with one word or a short phrase only."


@pytest.mark.parametrize(
    ("item", "chat", "list_choices", "text"),
    [
        (ITEM, False, True, "What is on the plate?\nA. an apple\nB. a pear\nAnswer:"),
        (ITEM, False, False, "What is on the plate?\nAnswer:"),
        (ITEM, True, True, f"What is on the plate?\nA. an apple\nB. a pear\n{LETTER}"),
        (ITEM, True, False, f"What is on the plate?\n{SHORT}"),
        (OPEN, False, True, "What is on the plate?\nAnswer:"),
        (OPEN, True, True, f"What is on the plate?\n{SHORT}"),
        (LOOK, False, True, "Is it red?\nAnswer:"),
        (LOOK, True, False, "Is it red?\nReply with yes or no only."),
        (SHOWN, False, True, "Which? A: x, B: y\nAnswer:"),
        (SHOWN, True, False, f"Which? A: x, B: y\n{LETTER}"),
    ],
)
def test_the_whole_text_of_every_kind_of_prompt(item, chat, list_choices, text):
    assert rendered(item, chat=chat, list_choices=list_choices) == [RED, f"\n{text}"]


one_line = st.text(st.characters(exclude_characters="\n"), min_size=1).filter(str.strip)


@given(choices=st.lists(one_line, min_size=2, max_size=6), question=one_line, chat=st.booleans())
def test_options_are_printed_as_they_are_in_order(choices, question, chat):
    item = Item("q", "q", (question,), tuple(choices), "A")
    lines = [f"{letter}. {choice}" for letter, choice in zip("ABCDEF", choices, strict=False)]
    assert rendered(item, (), chat=chat) == ["\n".join([question, *lines, LETTER if chat else "Answer:"])]


def test_the_digest_of_a_prompt_never_changes():
    canonical = '{"chat": false, "prompt": [{"image": "ab"}, "\\nWas ist das? \u00e4"]}'
    expected = hashlib.sha256(canonical.encode()).hexdigest()
    assert prompt_sha256([RED, "\nWas ist das? \u00e4"], ["ab"], False) == expected
