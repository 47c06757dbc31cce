"""How an item is laid out as a prompt, and which continuations stand for its options.

Two styles. `completion`, for base models, ends on a cue that the answer continues:

    <picture>
    What is on the plate?
    A. an apple
    B. a pear
    Answer:

`instruction`, for chat models, says what form the answer is to have instead of the cue. A line that is empty in the
configuration is left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from PIL import Image

from oqvl_eval.answerer import Prompt
from oqvl_eval.config import ChoicesAs, PromptConfig
from oqvl_eval.item import ImageRef, Item


def resolve_style(config: PromptConfig, chat: bool) -> PromptConfig:
    """Return `config` with `style` set: the default follows `chat`."""
    if config.style is not None:
        return config
    return config.model_copy(update={"style": "instruction" if chat else "completion"})


def render(item: Item, images: Sequence[Image.Image], config: PromptConfig, *, list_choices: bool = True) -> Prompt:
    """Lay `item` out as a prompt.

    Args:
        item: The item.
        images: Its pictures, one an `ImageRef` segment, in order.
        config: The layout, with its style resolved.
        list_choices: Whether options that the segments do not show are listed with their letters.

    Returns:
        Pieces of text and pictures; neighbouring text is one piece.
    """
    pictures = iter(images)
    pieces: list[str | Image.Image] = [config.before]
    for segment in item.segments:
        if isinstance(segment, ImageRef):
            pieces += [next(pictures), config.image_separator]
        else:
            pieces.append(segment)
    prompt = _join_text(pieces)
    for line in _closing_lines(item, config, list_choices):
        prompt = _join_text([*prompt, line if not prompt or _ends_line(prompt) else f"\n{line}"])
    return prompt


def continuations(item: Item, prompt: Prompt, choices_as: ChoicesAs, *, chat: bool) -> list[tuple[int, str]]:
    """Return the texts whose likelihood stands for each option, as (index of the option, text).

    A letter is scored with and without a space before it, `yes` and `no` with and without a capital too: a model may
    give any of them, and tokenizers make different tokens of them. The scoring adds their probabilities up. An option's
    text is scored once: after a space where it continues a line of `prompt`, without one where it begins a line or,
    with `chat`, a turn.
    """
    if item.scoring_rule == "yes_no":
        spellings = [(index, text) for index, name in enumerate(item.choices) for text in (name, name.capitalize())]
        return [(index, f"{space}{text}") for index, text in spellings for space in (" ", "")]
    if choices_as == "letter":
        return [(index, f"{space}{letter}") for index, letter in enumerate(item.letters) for space in (" ", "")]
    continues_line = not chat and isinstance(prompt[-1], str) and not prompt[-1][-1].isspace()
    space = " " if continues_line else ""
    return [(index, f"{space}{choice.strip()}") for index, choice in enumerate(item.choices)]


def prompt_sha256(prompt: Prompt, image_digests: Sequence[str], chat: bool) -> str:
    """Return a digest (64 hex digits) of what the model is shown.

    Args:
        prompt: The rendered prompt.
        image_digests: What identifies each of its pictures: sha256 of the encoded file, or a description.
        chat: Whether the model's chat template is applied.
    """
    digests = iter(image_digests)
    pieces = [piece if isinstance(piece, str) else {"image": next(digests)} for piece in prompt]
    canonical = json.dumps({"chat": chat, "prompt": pieces}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _closing_lines(item: Item, config: PromptConfig, list_choices: bool) -> list[str]:
    lines = []
    if item.lists_options and list_choices:
        pairs = zip(item.letters, item.choices, strict=True)
        # Not str.format: a brace in an option or in the layout is text.
        lines += [
            config.choice_line.replace("{letter}", letter).replace("{choice}", choice) for letter, choice in pairs
        ]
    lines.append(config.answer_cue if config.style == "completion" else _instruction(item, config, list_choices))
    return [line for line in lines if line]


def _ends_line(prompt: Prompt) -> bool:
    return isinstance(prompt[-1], str) and prompt[-1].endswith("\n")


def _instruction(item: Item, config: PromptConfig, list_choices: bool) -> str:
    if item.scoring_rule == "yes_no":
        return config.yes_no_instruction
    if item.scoring_rule == "multiple_choice" and (list_choices or item.shows_options):
        return config.multiple_choice_instruction
    return config.short_answer_instruction


def _join_text(pieces: Sequence[str | Image.Image]) -> list[str | Image.Image]:
    joined: list[str | Image.Image] = []
    for piece in pieces:
        if isinstance(piece, str) and joined and isinstance(joined[-1], str):
            joined[-1] += piece
        elif piece != "":
            joined.append(piece)
    return joined
