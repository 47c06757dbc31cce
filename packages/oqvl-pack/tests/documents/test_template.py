"""Templates: the exact text of a document, and which of it is learned."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.documents.template import (
    PackReason,
    Segment,
    SpecialTokens,
    caption_document,
    conversation_document,
    interleaved_document,
    interleaved_layout,
)
from oqvl_shards.tar.sample import RejectReason, SampleError

TOKENS = SpecialTokens(image="<image>", bos="<s>", start="<|im_start|>", end="<|im_end|>", pad="<|pad|>")
NO_BOS = SpecialTokens(image="<image>", bos="", start="<|im_start|>", end="<|im_end|>", pad="<|pad|>")


def text(segments: list[Segment]) -> str:
    return "".join(segment.text for segment in segments)


def targets(segments: list[Segment]) -> list[str]:
    return [segment.text for segment in segments if segment.is_target]


def test_caption() -> None:
    segments = caption_document("two cats", TOKENS)
    assert text(segments) == "<s><image>\ntwo cats<|im_end|>"
    assert targets(segments) == ["\ntwo cats", "<|im_end|>"]
    assert text(caption_document("two cats", NO_BOS)) == "<image>\ntwo cats<|im_end|>"


def test_conversation() -> None:
    turns = [
        {"from": "human", "value": "<image>\nWhat?"},
        {"from": "gpt", "value": "A cat."},
        {"from": "human", "value": "And this:<image><image>?"},
        {"from": "gpt", "value": "Dogs."},
    ]
    segments = conversation_document(turns, 3, TOKENS, "Be kind.")
    assert text(segments) == (
        "<s><|im_start|>system\nBe kind.<|im_end|>\n"
        "<|im_start|>user\n<image>\nWhat?<|im_end|>\n<|im_start|>assistant\nA cat.<|im_end|>\n"
        "<|im_start|>user\nAnd this:<image><image>?<|im_end|>\n<|im_start|>assistant\nDogs.<|im_end|>\n"
    )
    assert targets(segments) == ["A cat.", "<|im_end|>", "Dogs.", "<|im_end|>"]
    assert [segment.is_special for segment in segments if segment.text == "<image>"] == [True] * 3


def test_answer_is_a_piece_of_its_own_and_a_question_joins_its_role() -> None:
    turns = [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]
    pieces = [segment.text for segment in conversation_document(turns, 0, NO_BOS, "")]
    assert pieces == [
        "<|im_start|>",
        "user\nQ",
        "<|im_end|>",
        "\n",
        "<|im_start|>",
        "assistant\n",
        "A",
        "<|im_end|>",
        "\n",
    ]


def test_system_turn() -> None:
    turns = [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]
    own = [{"from": "system", "value": "Own."}, *turns]
    assert "system" not in text(conversation_document(turns, 0, TOKENS, ""))
    assert text(conversation_document(own, 0, TOKENS, "Default.")).startswith("<s><|im_start|>system\nOwn.<|im_end|>\n")


def test_marks_outside_human_turns_are_text() -> None:
    turns = [
        {"from": "system", "value": "<image>"},
        {"from": "human", "value": "Q"},
        {"from": "gpt", "value": "say <image>"},
    ]
    assert not any(s.is_special and s.text == "<image>" for s in conversation_document(turns, 0, TOKENS, ""))


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        (None, PackReason.BAD_CONVERSATION),
        ([], PackReason.BAD_CONVERSATION),
        (["Q"], PackReason.BAD_CONVERSATION),
        ([{"from": "robot", "value": "Q"}], PackReason.BAD_CONVERSATION),
        ([{"from": "human", "value": 1}], PackReason.BAD_CONVERSATION),
        ([{"from": "human", "value": "Q"}], PackReason.BAD_CONVERSATION),
        ([{"from": "human", "value": "Q"}, {"from": "system", "value": "late"}], PackReason.BAD_CONVERSATION),
        ([{"from": ["human"], "value": "Q"}], PackReason.BAD_CONVERSATION),
        ([{"from": "human", "value": "Q"}, {"from": "gpt", "value": "\n"}], PackReason.EMPTY_ANSWER),
        ([{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "A"}], PackReason.IMAGE_MARK_MISMATCH),
    ],
)
def test_conversations_that_are_none(turns: object, reason: PackReason) -> None:
    with pytest.raises(SampleError) as caught:
        conversation_document(turns, 0, TOKENS, "")
    assert caught.value.reason is reason


CHUNKS = SpecialTokens(image="<image>", bos="<s>", start="", end="<|im_end|>", pad="<|pad|>", chunk="<|endofchunk|>")


def test_interleaved() -> None:
    segments = interleaved_document(["One", None, "two", None, None, "<image> three"], CHUNKS)
    assert text(segments) == (
        "<s>One<|endofchunk|><image>\ntwo<|endofchunk|><image>\n<image>\n<image> three<|endofchunk|><|im_end|>"
    )
    assert [segment.text for segment in segments if not segment.is_target] == ["<s>", *["<image>"] * 3]
    assert sum(segment.is_special and segment.text == "<image>" for segment in segments) == 3
    # The newline behind an image is one piece with the text it stands before.
    assert [segment.text for segment in segments if "\n" in segment.text] == ["\ntwo", "\n", "\n<image> three"]


def test_interleaved_that_ends_in_an_image_and_without_chunk_token() -> None:
    assert text(interleaved_document(["One", None], NO_BOS)) == "One<image>\n<|im_end|>"


def layout(texts: object, images: object, **values: object) -> tuple[tuple[str | None, ...], tuple[str, ...], int]:
    options: dict[str, Any] = {"min_images": 1, "max_images": 2, "cut_trailing": True, **values}
    found = interleaved_layout(texts, images, **options)
    return found.places, found.images, found.num_cut


def test_interleaved_layout_cuts_trailing_images_before_it_counts() -> None:
    lists = ([None, "a", None, None], ["0.jpg", None, "1.jpg", "2.jpg"])
    assert layout(*lists) == ((None, "a"), ("0.jpg",), 2)
    kept = layout(*lists, cut_trailing=False, max_images=3)
    assert kept == ((None, "a", None, None), ("0.jpg", "1.jpg", "2.jpg"), 0)
    assert layout(["a"], [None], min_images=0) == (("a",), (), 0)
    assert layout([None] * 9 + ["a"], ["0.jpg"] * 9 + [None], max_images=0)[1] == ("0.jpg",) * 9


@pytest.mark.parametrize(
    ("texts", "images", "reason"),
    [
        (None, [], PackReason.BAD_INTERLEAVED),
        (["a"], [None, "0.jpg"], PackReason.BAD_INTERLEAVED),
        (["a"], ["0.jpg"], PackReason.BAD_INTERLEAVED),
        ([None], [None], PackReason.BAD_INTERLEAVED),
        ([None, 1], ["0.jpg", None], PackReason.BAD_INTERLEAVED),
        (["a", None], [None, "0.jpg"], PackReason.TOO_FEW_IMAGES),
        ([], [], PackReason.TOO_FEW_IMAGES),
        ([None, None, None, "a"], ["0.jpg", "1.jpg", "2.jpg", None], PackReason.TOO_MANY_IMAGES),
        ([None, " "], ["0.jpg", None], RejectReason.EMPTY_TEXT),
    ],
)
def test_interleaved_documents_that_are_none(texts: object, images: object, reason: object) -> None:
    with pytest.raises(SampleError) as caught:
        layout(texts, images)
    assert caught.value.reason is reason


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6).filter(str.strip)


@given(texts)
def test_any_caption(caption: str) -> None:
    for tokens in (TOKENS, NO_BOS):
        segments = caption_document(caption, tokens)
        assert text(segments) == f"{tokens.bos}<image>\n{caption}<|im_end|>"
        # Only the special tokens of the template are special, whatever the caption spells.
        assert [segment.text for segment in segments if segment.is_special] == [
            *([tokens.bos] if tokens.bos else []),
            "<image>",
            "<|im_end|>",
        ]
        assert targets(segments) == [f"\n{caption}", "<|im_end|>"]


@given(st.lists(st.tuples(texts, st.integers(0, 2), texts), min_size=1, max_size=4), st.sampled_from(["", "System."]))
def test_any_conversation(exchanges: list[tuple[str, int, str]], system: str) -> None:
    turns, num_images, expected = [], 0, ""
    for question, images, answer in exchanges:
        question = question.replace("<image>", "")
        turns += [{"from": "human", "value": "<image>" * images + question}, {"from": "gpt", "value": answer}]
        num_images += images
        expected += f"<|im_start|>user\n{'<image>' * images}{question}<|im_end|>\n"
        expected += f"<|im_start|>assistant\n{answer}<|im_end|>\n"
    segments = conversation_document(turns, num_images, NO_BOS, system)
    opening = f"<|im_start|>system\n{system}<|im_end|>\n" if system else ""
    assert text(segments) == opening + expected
    assert targets(segments) == [piece for _, _, answer in exchanges for piece in (answer, "<|im_end|>")]
    placeholders = [segment for segment in segments if segment.is_special and segment.text == "<image>"]
    assert len(placeholders) == num_images
    with pytest.raises(SampleError) as caught:
        conversation_document(turns, num_images + 1, NO_BOS, system)
    assert caught.value.reason is PackReason.IMAGE_MARK_MISMATCH


@given(st.lists(st.none() | texts, min_size=1, max_size=8))
def test_any_interleaved_document(places: list[str | None]) -> None:
    segments = interleaved_document(places, CHUNKS)
    expected = "".join("<image>\n" if place is None else f"{place}<|endofchunk|>" for place in places)
    assert text(segments) == f"<s>{expected}<|im_end|>"
    assert [segment.is_special for segment in segments if segment.text == "<image>"].count(True) == places.count(None)
    # Everything except images and begin-of-document is learned.
    assert all(segment.is_target != (segment.is_special and segment.text in ("<s>", "<image>")) for segment in segments)


@given(st.lists(st.none() | texts, max_size=8), st.booleans())
def test_any_layout(places: list[str | None], cut: bool) -> None:
    images = [None if place is not None else f"{number}.png" for number, place in enumerate(places)]
    kept = list(places)
    while cut and kept and kept[-1] is None:
        kept.pop()
    if not any(places):
        with pytest.raises(SampleError):
            interleaved_layout(places, images, min_images=0, max_images=0, cut_trailing=cut)
        return
    found = interleaved_layout(places, images, min_images=0, max_images=0, cut_trailing=cut)
    assert found.places == tuple(kept)
    assert found.images == tuple(image for image in images[: len(kept)] if image is not None)
    assert found.num_cut == len(places) - len(kept)
    # One image more than there are is too few, one fewer is too many.
    with pytest.raises(SampleError) as caught:
        interleaved_layout(places, images, min_images=len(found.images) + 1, max_images=0, cut_trailing=cut)
    assert caught.value.reason is PackReason.TOO_FEW_IMAGES
    if len(found.images) > 1:
        with pytest.raises(SampleError) as caught:
            interleaved_layout(places, images, min_images=0, max_images=len(found.images) - 1, cut_trailing=cut)
        assert caught.value.reason is PackReason.TOO_MANY_IMAGES


def test_empty_questions_and_systems_are_turns() -> None:
    turns = [{"from": "system", "value": ""}, {"from": "human", "value": ""}, {"from": "gpt", "value": "A"}]
    assert text(conversation_document(turns, 0, NO_BOS, "Default.")) == (
        "<|im_start|>system\n<|im_end|>\n<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n"
    )


def test_turns_may_come_in_any_order() -> None:
    turns = [{"from": speaker, "value": value} for speaker, value in (("gpt", "A"), ("gpt", "B"), ("human", "Q"))]
    segments = conversation_document(turns, 0, NO_BOS, "")
    assert targets(segments) == ["A", "<|im_end|>", "B", "<|im_end|>"]
    assert text(segments).endswith("B<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n")


@pytest.mark.parametrize("speaker", ["gpt", "system"])
def test_a_mark_outside_questions_claims_no_image(speaker: str) -> None:
    turns = [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]
    marked = {"from": speaker, "value": "look: <image>"}
    turns = [marked, *turns] if speaker == "system" else [*turns, marked]
    assert "look: <image>" in text(conversation_document(turns, 0, TOKENS, ""))
    with pytest.raises(SampleError) as caught:
        conversation_document(turns, 1, TOKENS, "")
    assert (caught.value.reason, caught.value.detail) == (PackReason.IMAGE_MARK_MISMATCH, "0 marks, 1 images")


@pytest.mark.parametrize("answer", ["", " ", "\n\t", "\u3000", "\u00a0"])
def test_one_empty_answer_among_others_is_enough(answer: str) -> None:
    turns = [{"from": speaker, "value": value} for speaker, value in (("human", "Q"), ("gpt", "A"), ("gpt", answer))]
    with pytest.raises(SampleError) as caught:
        conversation_document(turns, 0, TOKENS, "")
    assert caught.value.reason is PackReason.EMPTY_ANSWER
