r"""Lay a sample out as the segments of its document: texts, special tokens, and which of them are targets.

Caption (without `{bos}` if `bos_token` is empty):

    {bos}<image>\n{caption}<|im_end|>

Conversation (ChatML as in Qwen2.5; without the system turn if it is empty):

    {bos}<|im_start|>system\n{system}<|im_end|>\n
    <|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n
    <|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n ...

Interleaved, texts and images in the order of the document (without `<|endofchunk|>` if `chunk_token` is empty):

    {bos}<image>\n{text}<|endofchunk|>{text}<|endofchunk|><image>\n<image>\n{text}<|endofchunk|><|im_end|>

Each is one line; `\n` stands for a newline.

An `<image>` mark in a user's content becomes the placeholder token, and the text after the mark follows the
placeholder. Everywhere else, the mark is plain text, like the spelling of any other special token.

The targets of a caption are its newline, text and end token. The targets of a conversation are the text and end token
of every answer. The targets of an interleaved document are everything except images and begin-of-document. All other
tokens are context. A document's first token is never a target, with or without a begin-of-document token, because
nothing before it in the document can predict it.

Text between two special tokens is tokenised as one piece, as a tokenizer does when it finds them in a prompt. An answer
is tokenised separately from the `assistant\n` before it, because the prompt ends there at inference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple

from oqvl_shards.tar.sample import RejectReason, SampleError

IMAGE_MARK = "<image>"
"""The mark for an image in the human turns of conversation data, independent of the tokenizer's placeholder."""

_ROLES = {"human": "user", "gpt": "assistant", "system": "system"}


class PackReason(StrEnum):
    """The packer's reasons for leaving out a sample, in addition to `oqvl_shards.tar.sample.RejectReason`."""

    BAD_CONVERSATION = "bad_conversation"
    """`conversations` is not a list of turns from human, gpt or (first only) system, or it has no answer."""
    EMPTY_ANSWER = "empty_answer"
    """An answer is empty or only whitespace."""
    IMAGE_MARK_MISMATCH = "image_mark_mismatch"
    """The number of `<image>` marks in the human turns differs from the sample's number of images."""
    BAD_INTERLEAVED = "bad_interleaved"
    """`texts` and `images` are not lists of the same length with exactly one of the two at each place."""
    MISSING_IMAGE = "missing_image"
    """`images` names a member that the sample does not have."""
    TOO_FEW_IMAGES = "too_few_images"
    """An interleaved document has fewer images than `min_images`, not counting trailing ones that are cut."""
    TOO_MANY_IMAGES = "too_many_images"
    """An interleaved document has more images than `max_images`, not counting trailing ones that are cut."""
    BAD_VISUAL_TOKENS = "bad_visual_tokens"
    """The field named by `visual_tokens_field` does not give a number of visual tokens for each image."""
    OVERLONG = "overlong"
    """The document is longer than a pack, and `overlong` is `drop`."""


class Segment(NamedTuple):
    """A part of a document that is tokenised on its own.

    Args:
        text: Plain text, or the spelling of one special token.
        is_special: Whether it is a special token.
        is_target: Whether the model learns to predict its tokens.
    """

    text: str
    is_special: bool = False
    is_target: bool = False


@dataclass(frozen=True)
class SpecialTokens:
    """The spellings of the special tokens that templates and packs use.

    Args:
        image: Stands for an image.
        bos: Begins every document; empty for none.
        start: Begins a turn of a conversation; empty if there are no conversations.
        end: Ends a document or a turn.
        pad: For trainers that pad packs; templates do not use it.
        chunk: Ends every text of an interleaved document; empty for none.
    """

    image: str
    bos: str
    start: str
    end: str
    pad: str
    chunk: str = ""

    @cached_property
    def begin(self) -> tuple[Segment, ...]:
        """The segments that every document begins with."""
        return (Segment(self.bos, is_special=True),) if self.bos else ()

    @cached_property
    def placeholder(self) -> Segment:
        """The segment of an image."""
        return Segment(self.image, is_special=True)

    @cached_property
    def learned_end(self) -> Segment:
        """The end token as a target."""
        return Segment(self.end, is_special=True, is_target=True)


def caption_document(caption: str, tokens: SpecialTokens) -> list[Segment]:
    r"""Return the segments of an image with its caption.

    Example:
        A caption `a cat` becomes `<s>`, `<image>`, `\na cat` (target), `<|im_end|>` (target).
    """
    return [*tokens.begin, tokens.placeholder, Segment(f"\n{caption}", is_target=True), tokens.learned_end]


def conversation_document(
    turns: object, num_images: int, tokens: SpecialTokens, default_system_prompt: str
) -> list[Segment]:
    """Return the segments of a conversation.

    Args:
        turns: The value of `conversations` in a sample's JSON, which is untrusted.
        num_images: Number of images of the sample.
        tokens: The special tokens.
        default_system_prompt: System turn of conversations without one; empty for no turn.

    Raises:
        SampleError: If the turns are malformed or do not match the images.
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
    """A checked interleaved document.

    Args:
        places: The text at each place, or None for an image.
        images: Suffixes of the image members, in order, one per place without text.
        num_cut: Number of trailing images that were cut.
    """

    places: tuple[str | None, ...]
    images: tuple[str, ...]
    num_cut: int


def interleaved_layout(
    texts: object, images: object, *, min_images: int, max_images: int, cut_trailing: bool
) -> InterleavedLayout:
    """Check the lists of an interleaved document.

    Args:
        texts: The value of `texts` in a sample's JSON, which is untrusted.
        images: The value of `images`, suffixes of image members, which is untrusted.
        min_images: Fewest images.
        max_images: Most images; 0 for no limit.
        cut_trailing: Whether images after the last text are cut before counting.

    Raises:
        SampleError: If the lists are malformed, or have too few or too many images.
    """
    if not isinstance(texts, list) or not isinstance(images, list) or len(texts) != len(images):
        raise SampleError(PackReason.BAD_INTERLEAVED, "texts and images are not lists of the same length")
    for place, (text, image) in enumerate(zip(texts, images, strict=True)):
        if sorted(type(value).__name__ for value in (text, image)) != ["NoneType", "str"]:
            raise SampleError(PackReason.BAD_INTERLEAVED, f"place {place} must hold either a text or an image")
    length = len(texts)
    while cut_trailing and length and texts[length - 1] is None:
        length -= 1
    kept = tuple(image for image in images[:length] if image is not None)
    if len(kept) < min_images:
        raise SampleError(PackReason.TOO_FEW_IMAGES, f"{len(kept)} images, expected at least {min_images}")
    if max_images and len(kept) > max_images:
        raise SampleError(PackReason.TOO_MANY_IMAGES, f"{len(kept)} images, expected at most {max_images}")
    if not any(text is not None and text.strip() for text in texts):
        raise SampleError(RejectReason.EMPTY_TEXT)
    return InterleavedLayout(tuple(texts[:length]), kept, len(texts) - length)


def interleaved_document(places: Iterable[str | None], tokens: SpecialTokens) -> list[Segment]:
    """Return the segments of an interleaved document.

    Args:
        places: The text at each place, or None for an image.
        tokens: The special tokens.
    """
    document = list(tokens.begin)
    line_break = ""  # the newline after an image; it is tokenised together with the text that follows
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
    """Yield the segments of one turn; only an assistant's text and end token are targets."""
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
    """Return (role, text) of every turn.

    Raises:
        SampleError: If a turn is malformed, or an answer is missing or empty.
    """
    if not isinstance(turns, list) or not turns:
        raise SampleError(PackReason.BAD_CONVERSATION, "conversations is not a list of turns")
    checked = [_check_turn(number, turn) for number, turn in enumerate(turns)]
    answers = [value for role, value in checked if role == "assistant"]
    if not answers:
        raise SampleError(PackReason.BAD_CONVERSATION, "no turn is an answer")
    if not all(answer.strip() for answer in answers):
        raise SampleError(PackReason.EMPTY_ANSWER)
    return checked


def _check_turn(number: int, turn: Any) -> tuple[str, str]:
    speaker, value = (turn.get("from"), turn.get("value")) if isinstance(turn, Mapping) else (None, None)
    role = _ROLES.get(speaker) if isinstance(speaker, str) else None
    if role is None or not isinstance(value, str) or (role == "system" and number > 0):
        raise SampleError(PackReason.BAD_CONVERSATION, f"turn {number} is from {speaker!r:.40}")
    return role, value
