r"""From a sample to the segments of its document: what the model reads, and what it learns to predict.

Caption (`bos_token` is left out when it is empty):

    {bos}<image>\n{caption}<|im_end|>

Conversation (ChatML as Qwen2.5 has it; the system turn is left out when it is empty):

    {bos}<|im_start|>system\n{system}<|im_end|>\n
    <|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n
    <|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n ...

(all on one line: every newline is spelled `\n`).

An `<image>` mark in a user's content becomes the placeholder token, and what follows the mark follows the placeholder.
Everywhere else the mark, like the spelling of any other special token, is text and stays text.

Targets are a caption's newline, text and end token, and an answer's text and end token; everything else is context.
So a document's first token is never a target, with or without a begin-of-document token. Begin-of-document and image
placeholder are no targets because nothing before them in the document predicts them.

A text between two special tokens is tokenised as one piece, as a tokenizer does that meets them in a prompt. An answer
is tokenised apart from the `assistant\n` before it, because at inference the prompt ends there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from oqvl_shards.sample import SampleError

IMAGE_MARK = "<image>"
"""What stands for an image in the human turns of conversation data, whatever the tokenizer's placeholder is."""

_ROLES = {"human": "user", "gpt": "assistant", "system": "system"}


class PackReason(StrEnum):
    """Why a sample is left out of the packs, beside the reasons of `oqvl_shards.sample.RejectReason`."""

    BAD_CONVERSATION = "bad_conversation"
    """`conversations` is no list of turns from human, gpt or (first only) system, or there is no answer in it."""
    EMPTY_ANSWER = "empty_answer"
    """An answer is empty or whitespace."""
    IMAGE_MARK_MISMATCH = "image_mark_mismatch"
    """The human turns hold another number of `<image>` marks than the sample has images."""
    OVERLONG = "overlong"
    """The document is longer than a pack, and such documents are to be dropped."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a document that is tokenised on its own.

    Args:
        text: Plain text, or the spelling of one special token.
        is_special: Whether it is a special token.
        is_target: Whether its tokens are to be predicted.
    """

    text: str
    is_special: bool = False
    is_target: bool = False


@dataclass(frozen=True)
class SpecialTokens:
    """The spellings of the special tokens that templates and packs use; `bos` may be empty."""

    image: str
    bos: str
    start: str
    end: str
    pad: str


def caption_document(caption: str, tokens: SpecialTokens) -> list[Segment]:
    """Return the segments of an image with its caption."""
    return [
        *_begin(tokens),
        Segment(tokens.image, is_special=True),
        Segment(f"\n{caption}", is_target=True),
        Segment(tokens.end, is_special=True, is_target=True),
    ]


def conversation_document(
    turns: object, num_images: int, tokens: SpecialTokens, default_system_prompt: str
) -> list[Segment]:
    """Return the segments of a conversation.

    Args:
        turns: The value of `conversations` in a sample's JSON; untrusted.
        num_images: Images of the sample.
        tokens: The special tokens.
        default_system_prompt: System turn when the conversation has none of its own; empty for no turn.

    Raises:
        SampleError: When the turns are malformed or do not fit the images.
    """
    checked = _check_turns(turns)
    num_marks = sum(value.count(IMAGE_MARK) for role, value in checked if role == "user")
    if num_marks != num_images:
        raise SampleError(PackReason.IMAGE_MARK_MISMATCH, f"{num_marks} marks, {num_images} images")
    if checked[0][0] != "system" and default_system_prompt:
        checked.insert(0, ("system", default_system_prompt))
    document = _begin(tokens)
    for role, value in checked:
        document += _turn(role, value, tokens)
    return document


def _begin(tokens: SpecialTokens) -> list[Segment]:
    return [Segment(tokens.bos, is_special=True)] if tokens.bos else []


def _turn(role: str, value: str, tokens: SpecialTokens) -> Iterable[Segment]:
    yield Segment(tokens.start, is_special=True)
    if role == "user":
        first, *rest = f"user\n{value}".split(IMAGE_MARK)
        yield Segment(first)
        for text in rest:
            yield Segment(tokens.image, is_special=True)
            yield Segment(text)
    elif role == "assistant":
        yield Segment("assistant\n")
        yield Segment(value, is_target=True)
    else:
        yield Segment(f"{role}\n{value}")
    yield Segment(tokens.end, is_special=True, is_target=role == "assistant")
    yield Segment("\n")


def _check_turns(turns: object) -> list[tuple[str, str]]:
    if not isinstance(turns, list) or not turns:
        raise SampleError(PackReason.BAD_CONVERSATION, "conversations is no list, or empty")
    checked = [_check_turn(number, turn) for number, turn in enumerate(turns)]
    answers = [value for role, value in checked if role == "assistant"]
    if not answers:
        raise SampleError(PackReason.BAD_CONVERSATION, "there is no answer")
    if not all(answer.strip() for answer in answers):
        raise SampleError(PackReason.EMPTY_ANSWER)
    return checked


def _check_turn(number: int, turn: Any) -> tuple[str, str]:
    speaker, value = (turn.get("from"), turn.get("value")) if isinstance(turn, Mapping) else (None, None)
    role = _ROLES.get(speaker) if isinstance(speaker, str) else None
    if role is None or not isinstance(value, str) or (role == "system" and number > 0):
        raise SampleError(PackReason.BAD_CONVERSATION, f"turn {number} is from {speaker!r:.40}")
    return role, value
