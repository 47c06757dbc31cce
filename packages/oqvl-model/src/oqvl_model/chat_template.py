r"""Chat templates: how a conversation becomes pieces of text, special tokens and images.

    both            <s><|im_start|>system\n...<|im_end|>\n<|im_start|>user\n...<|im_end|>
    chatml          then \n<|im_start|>assistant\n
    open-qwen2vl    then assistant\n

The released Open-Qwen2VL weights were fine-tuned with the second one, so they expect its peculiarities:

- No `<|im_start|>` begins the assistant's turn.
- Messages are stripped of surrounding white space. An empty answer becomes one space.
- In the turn that begins with `<s>`, the first token after every image is missing. If nothing but the image is left of
  the message, that token is `<|im_end|>`.
- Every turn is tokenised on its own.

Source: the fine-tuning dataset and prompt builder of Open-Qwen2VL's public code (2025).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from oqvl_model.config import TemplateName

Message = Sequence[str | Image.Image]
"""What one turn says: texts and images."""

Piece = str | int | Image.Image
"""A text, the id of a special token, or an image."""


@dataclass(frozen=True)
class ChatTokens:
    """What every template needs.

    Args:
        bos: Id of the token that begins a document; None for none.
        start: Id of the token that begins a turn.
        end: Id of the token that ends a turn.
        system_prompt: Text of the system turn; empty for no system turn.
    """

    bos: int | None
    start: int
    end: int
    system_prompt: str


@dataclass(frozen=True)
class Section:
    """Pieces that are tokenised together.

    Args:
        pieces: Texts, ids of special tokens and images.
        drops_after_image: Whether the first token after every image is left out.
    """

    pieces: tuple[Piece, ...]
    drops_after_image: bool = False


def chat_sections(name: TemplateName, turns: Sequence[Message], tokens: ChatTokens) -> list[Section]:
    """Return the sections of a conversation, up to where the assistant's next answer begins.

    Args:
        name: The template.
        turns: The user's first message, the assistant's answer, the user's next message, and so on; the last one is the
            user's.
        tokens: Special tokens and the system prompt.
    """
    return _chatml(turns, tokens) if name == "chatml" else _open_qwen2vl(turns, tokens)


def _begin(tokens: ChatTokens) -> list[Piece]:
    begin: list[Piece] = [] if tokens.bos is None else [tokens.bos]
    if tokens.system_prompt:
        begin += [tokens.start, f"system\n{tokens.system_prompt}", tokens.end, "\n"]
    return begin


def _chatml(turns: Sequence[Message], tokens: ChatTokens) -> list[Section]:
    pieces = _begin(tokens)
    for index, turn in enumerate(turns):
        role = "assistant" if index % 2 else "user"
        pieces += [tokens.start, f"{role}\n", *turn, tokens.end, "\n"]
    return [Section((*pieces, tokens.start, "assistant\n"))]


def _open_qwen2vl(turns: Sequence[Message], tokens: ChatTokens) -> list[Section]:
    sections = []
    for index, turn in enumerate(turns):
        message = _stripped(turn)
        if index % 2:
            sections.append(Section((*(message or [" "]), tokens.end, "\n")))
            continue
        pieces = [*(_begin(tokens) if index == 0 else []), tokens.start, "user\n", *message, tokens.end, "assistant\n"]
        sections.append(Section(tuple(pieces), drops_after_image=index == 0 and tokens.bos is not None))
    return sections


def _stripped(turn: Message) -> list[str | Image.Image]:
    """Return the message without white space at its ends; an image is not white space."""
    pieces = list(turn)
    while pieces and isinstance(pieces[0], str):
        pieces[0] = pieces[0].lstrip()
        if pieces[0]:
            break
        del pieces[0]
    while pieces and isinstance(pieces[-1], str):
        pieces[-1] = pieces[-1].rstrip()
        if pieces[-1]:
            break
        del pieces[-1]
    return pieces
