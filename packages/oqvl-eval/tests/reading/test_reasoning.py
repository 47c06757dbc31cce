from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_eval.reading.reasoning import split_reasoning

NAMES = ("think", "thinking", "thought", "thoughts", "reasoning", "reflection", "THINK", "Think")
PLAIN = st.text(alphabet=st.characters(exclude_characters="<>[]\u25c1\u25b7\uff1c\uff1e"))


@pytest.mark.parametrize(
    ("output", "reasoning", "answer"),
    [
        ("B", "", "B"),
        ("<think>A</think>B", "<think>A</think>", "B"),
        ("C<think>A</think>B", "<think>A</think>", "CB"),
        ("<think>A<think>C</think>D</think>B", "<think>A<think>C</think>D</think>", "B"),
        ("<think>A</think>B<reflection>C</reflection>D", "<think>A</think><reflection>C</reflection>", "BD"),
        ("A</think>B", "A</think>", "B"),
        ("A</think>B</think>C", "A</think>B</think>", "C"),
        ("<think>A</reflection>C</think>B", "<think>A</reflection>C</think>", "B"),
        ("<thinking>A<think>C</thinking>B", "<thinking>A<think>C</thinking>", "B"),
        ("< think >A</ think>B", "< think >A</ think>", "B"),
        ('<think type="long">A</think>B', '<think type="long">A</think>', "B"),
        ("\uff1cthink\uff1eA\uff1c/think\uff1eB", "\uff1cthink\uff1eA\uff1c/think\uff1e", "B"),
        ("<think/>B", "<think/>", "B"),
        ("[THINK]A[/THINK]B", "[THINK]A[/THINK]", "B"),
        ("\u25c1think\u25b7A\u25c1/think\u25b7B", "\u25c1think\u25b7A\u25c1/think\u25b7", "B"),
        ("<thinker>B", "", "<thinker>B"),
        ("a < b", "", "a < b"),
        ("analysisIt is A.assistantfinalB", "analysisIt is A.assistantfinal", "B"),
        ("analysis of it: B", "", "analysis of it: B"),
        (
            "<|channel|>analysis<|message|>A<|end|><|start|>assistant<|channel|>final<|message|>B<|return|>",
            "<|channel|>analysis<|message|>A<|end|><|start|>assistant<|channel|>final<|message|><|return|>",
            "B",
        ),
    ],
)
def test_what_is_reasoning(output, reasoning, answer):
    transcript = split_reasoning(output)
    assert (transcript.reasoning, transcript.answer, transcript.is_closed) == (reasoning, answer, True)
    assert "".join(output[start:end] for start, end in transcript.spans) == answer


@pytest.mark.parametrize(
    "output",
    [
        *("<think>A", "B<think>A", "<think>A<think>C</think>B", "<think>A</think>B<think>C", "[THINK]A"),
        *("<|channel|>analysis<|message|>B", "analysisIt is B."),
    ],
)
def test_reasoning_that_never_ends_leaves_no_answer(output):
    transcript = split_reasoning(output)
    assert (transcript.answer, transcript.is_closed, transcript.spans) == ("", False, ())


@given(st.sampled_from(NAMES), PLAIN, PLAIN, PLAIN)
def test_a_block_leaves_nothing_behind(name, before, inside, after):
    before, after = f".{before}", f"{after}."
    assert split_reasoning(f"{before}<{name}>{inside}</{name}>{after}").answer == before + after
    assert split_reasoning(f"{before}</{name}>{after}").answer == after
    assert not split_reasoning(f"{before}<{name}>{inside}").is_closed


@given(
    st.lists(
        st.sampled_from(["<think>", "</think>", "<thought>", "</thought>", "<think/>", "A", "[THINK]", "[/think]"])
    )
)
def test_the_parts_make_up_the_output(parts):
    output = "".join(parts)
    transcript = split_reasoning(output)
    assert len(transcript.reasoning) + len(transcript.answer) == len(output)
