r"""From a sample to the segments of its document: what the model reads, and what it learns to predict.

Caption (`bos_token` is left out when it is empty):

    {bos}<image>\n{caption}<|im_end|>

Conversation (ChatML as Qwen2.5 has it; the system turn is left out when it is empty):

    {bos}<|im_start|>system\n{system}<|im_end|>\n
    <|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n
    <|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n ...

Interleaved, texts and images in the order of the document (`chunk_token` is left out when it is empty):

    {bos}<image>\n{text}<|endofchunk|>{text}<|endofchunk|><image>\n<image>\n{text}<|endofchunk|><|im_end|>

(all on one line: every newline is spelled `\n`).

An `<image>` mark in a user's content becomes the placeholder token, and what follows the mark follows the placeholder.
Everywhere else the mark, like the spelling of any other special token, is text and stays text.

Targets are a caption's newline, text and end token, an answer's text and end token, and of an interleaved document
everything but images and begin-of-document; all else is context. A document's first token is never a target, with or
without a begin-of-document token: nothing before it in the document predicts it.

A text between two special tokens is tokenised as one piece, as a tokenizer does that meets them in a prompt. An answer
is tokenised apart from the `assistant\n` before it, because at inference the prompt ends there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple

from oqvl_shards.tar.sample import RejectReason, SampleError

IMAGE_MARK = "<image>"
"""What stands for an image in the human turns of conversation data, whatever the tokenizer's placeholder is."""

_ROLES = {"human": "user", "gpt": "assistant", "system": "system"}


class PackReason(StrEnum):
    """Why a sample is left out of the packs, beside the reasons of `oqvl_shards.tar.sample.RejectReason`."""

    BAD_CONVERSATION = "bad_conversation"
    """`conversations` is no list of turns from human, gpt or (first only) system, or there is no answer in it."""
    EMPTY_ANSWER = "empty_answer"
    """An answer is empty or whitespace."""
    IMAGE_MARK_MISMATCH = "image_mark_mismatch"
    """The human turns hold another number of `<image>` marks than the sample has images."""
    BAD_INTERLEAVED = "bad_interleaved"
    """`texts` and `images` are no lists of one length with exactly one of the two at each place."""
    MISSING_IMAGE = "missing_image"
    """`images` names a member that the sample does not have."""
    TOO_FEW_IMAGES = "too_few_images"
    """An interleaved document has fewer images than `min_images`, trailing ones that are cut not counted."""
    TOO_MANY_IMAGES = "too_many_images"
    """An interleaved document has more images than `max_images`, trailing ones that are cut not counted."""
    BAD_VISUAL_TOKENS = "bad_visual_tokens"
    """The field `visual_tokens_field` holds no number of visual tokens for each image."""
    OVERLONG = "overlong"
    """The document is longer than a pack, and such documents are to be dropped."""


class Segment(NamedTuple):
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
    """The spellings of the special tokens that templates and packs use; `bos`, `start` and `chunk` may be empty."""

    image: str
    bos: str
    start: str
    end: str
    pad: str
    chunk: str = ""

    @cached_property
    def begin(self) -> tuple[Segment, ...]:
        """What every document begins with."""
        return (Segment(self.bos, is_special=True),) if self.bos else ()

    @cached_property
    def placeholder(self) -> Segment:
        """An image."""
        return Segment(self.image, is_special=True)

    @cached_property
    def learned_end(self) -> Segment:
        """The end of what is to be predicted."""
        return Segment(self.end, is_special=True, is_target=True)


def caption_document(caption: str, tokens: SpecialTokens) -> list[Segment]:
    """Return the segments of an image with its caption."""
    return [*tokens.begin, tokens.placeholder, Segment(f"\n{caption}", is_target=True), tokens.learned_end]


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
    document = list(tokens.begin)
    for role, value in checked:
        document += _turn(role, value, tokens)
    return document


@dataclass(frozen=True)
class InterleavedLayout:
    """An interleaved document as its sample gives it, checked.

    Args:
        places: For each place its text, or None where an image stands.
        images: Suffixes of the image members, one a place without text, in order.
        num_cut: Trailing images that were cut.
    """

    places: tuple[str | None, ...]
    images: tuple[str, ...]
    num_cut: int


def interleaved_layout(
    texts: object, images: object, *, min_images: int, max_images: int, cut_trailing: bool
) -> InterleavedLayout:
    """Check the lists of an interleaved document.

    Args:
        texts: The value of `texts` in a sample's JSON; untrusted.
        images: The value of `images`, suffixes of image members; untrusted.
        min_images: Images that must be there.
        max_images: Images that may be there; 0 for any number.
        cut_trailing: Whether images behind the last text are left out before they are counted.

    Raises:
        SampleError: When the lists are malformed, or hold too few or too many images.
    """
    if not isinstance(texts, list) or not isinstance(images, list) or len(texts) != len(images):
        raise SampleError(PackReason.BAD_INTERLEAVED, "texts and images are no lists of one length")
    for place, pair in enumerate(zip(texts, images, strict=True)):
        if sorted(type(one).__name__ for one in pair) != ["NoneType", "str"]:
            raise SampleError(PackReason.BAD_INTERLEAVED, f"place {place} holds not exactly one text or image")
    length = len(texts)
    while cut_trailing and length and texts[length - 1] is None:
        length -= 1
    kept = tuple(image for image in images[:length] if image is not None)
    if len(kept) < min_images:
        raise SampleError(PackReason.TOO_FEW_IMAGES, f"{len(kept)}, at least {min_images}")
    if max_images and len(kept) > max_images:
        raise SampleError(PackReason.TOO_MANY_IMAGES, f"{len(kept)}, at most {max_images}")
    if not any(text is not None and text.strip() for text in texts):
        raise SampleError(RejectReason.EMPTY_TEXT)
    return InterleavedLayout(tuple(texts[:length]), kept, len(texts) - length)


def interleaved_document(places: Iterable[str | None], tokens: SpecialTokens) -> list[Segment]:
    """Return the segments of an interleaved document.

    Args:
        places: For each place its text, or None where an image stands.
        tokens: The special tokens.
    """
    document = list(tokens.begin)
    line_break = ""  # that an image leaves to the text behind it, with which it is one piece
    for text in places:
        if text is not None:
            document.append(Segment(line_break + text, is_target=True))
            if tokens.chunk:
                document.append(Segment(tokens.chunk, is_special=True, is_target=True))
            line_break = ""
            continue
        if line_break:
            document.append(Segment(line_break, is_target=True))
        document.append(tokens.placeholder)
        line_break = "\n"
    if line_break:
        document.append(Segment(line_break, is_target=True))
    return [*document, tokens.learned_end]


def _turn(role: str, value: str, tokens: SpecialTokens) -> Iterable[Segment]:
    yield Segment(tokens.start, is_special=True)
    if role == "user":
        first, *rest = f"user\n{value}".split(IMAGE_MARK)
        yield Segment(first)
        for text in rest:
            yield tokens.placeholder
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
