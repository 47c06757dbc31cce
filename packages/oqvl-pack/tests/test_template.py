"""Templates: the exact text of a document, and which of it is learned."""

from __future__ import annotations

import pytest

from oqvl_pack.template import PackReason, Segment, SpecialTokens, caption_document, conversation_document
from oqvl_shards.sample import SampleError

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
