"""Find the part of a model output in which the answer is to be read."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

from oqvl_eval.reading.normalisation import NormalText, normalise
from oqvl_eval.reading.reading import Reading
from oqvl_eval.reading.reasoning import FULL_WIDTH, split_reasoning

_ANSWER_TAG = re.compile(
    r"<\s{0,4}(?P<slash>/?)\s{0,4}(?:answer|final_answer|output|solution)\s{0,4}>"
    r"|<\|begin_of_box\|>|(?P<box_end><\|end_of_box\|>)",
    re.IGNORECASE,
)
_TURN_END = re.compile(r"<\|(?:im_end|im_start|endoftext|eot_id|end|return|end_of_text)\|>|</s>")
_NEXT_ITEM = re.compile(r"\n(?:question|q|human|user|问题|题目) ?\d{0,4} ?:", re.IGNORECASE)


def answer_scope(text: str) -> NormalText | Reading:
    """Return the normalised text in which the answer is to be read.

    In order:

    1. Reasoning is split off (`oqvl_eval.reading.reasoning`).
    2. `<answer>...</answer>` is a form field: if one is filled in, nothing outside the blocks is read. An opening tag
       without a closing one runs to the end, because servers stop at the closing tag. `<final_answer>`, `<output>`,
       `<solution>` and the box tokens of GLM mean the same.
    3. What follows a mark that ends the turn is cut, and what follows a line that begins another item (`Question:`):
       base models go on with a next example.

    Args:
        text: The model output.

    Returns:
        The text, or a reading with status `no_answer` if nothing is left.
    """
    transcript = split_reasoning(text)
    if not transcript.is_closed:
        return Reading("no_answer", "", "unclosed_reasoning")
    answer, origins = transcript.answer, _places(transcript.spans)
    if "<" in answer or "\uff1c" in answer:
        plain = answer.translate(FULL_WIDTH)
        for start, end in (_before_turn_end(plain),):
            answer, origins, plain = answer[start:end], origins[start:end], plain[start:end]
        fields = _answer_fields(plain)
        if fields:
            # A line break keeps the fields apart; it has the place of the character that it follows.
            answer = "\n".join(answer[start:end] for start, end in fields)
            origins = [place for start, end in fields for place in (*origins[start:end], origins[end - 1])][:-1]
    normal = normalise(answer, origins)
    for item in itertools.islice(_NEXT_ITEM.finditer(normal.text), 1):
        normal = normal.slice(0, item.start())
    if not normal.text:
        return Reading("no_answer", "", "blank")
    return normal


def _places(spans: Iterable[tuple[int, int]]) -> range | list[int]:
    pieces = [range(start, end) for start, end in spans]
    return pieces[0] if len(pieces) == 1 else [place for piece in pieces for place in piece]


def _before_turn_end(plain: str) -> tuple[int, int]:
    for mark in _TURN_END.finditer(plain):
        if plain[: mark.start()].strip():
            return 0, mark.start()
    return 0, len(plain)


def _answer_fields(plain: str) -> list[tuple[int, int]]:
    """Return where the contents of the answer tags are that are not blank."""
    fields: list[tuple[int, int]] = []
    opened: int | None = None
    for tag in _ANSWER_TAG.finditer(plain):
        is_closing = bool(tag["slash"] or tag["box_end"])
        if is_closing and opened is not None:
            fields.append((opened, tag.start()))
            opened = None
        elif not is_closing:
            opened = tag.end()
    if opened is not None:
        fields.append((opened, len(plain)))
    return [(start, end) for start, end in fields if plain[start:end].strip()]
