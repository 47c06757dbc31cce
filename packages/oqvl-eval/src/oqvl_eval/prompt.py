"""Lay an item out as a prompt, and list the continuations that stand for its options.

There are two styles. `completion`, for base models, ends with a cue that the answer continues:

    <picture>
    What is on the plate?
    A. an apple
    B. a pear
    Answer:

`instruction`, for chat models, ends with an instruction about the form of the answer instead. A line that is empty in
the configuration is left out.
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
    """Return `config` with `style` set. The default is `instruction` with `chat`, and `completion` without."""
    if config.style is not None:
        return config
    return config.model_copy(update={"style": "instruction" if chat else "completion"})


def render(item: Item, images: Sequence[Image.Image], config: PromptConfig, *, list_choices: bool = True) -> Prompt:
    """Lay `item` out as a prompt.

    Args:
        item: The item.
        images: Its pictures, one per `ImageRef` segment, in order.
        config: The layout, with its style resolved.
        list_choices: Whether to list the options with their letters, unless the segments already show them.

    Returns:
        Texts and pictures in order. Adjacent texts are joined.
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
    """Return the texts whose likelihoods stand for the options, as (index of the option, text).

    A letter is scored with and without a leading space. `yes` and `no` are also scored with and without a capital. A
    model may produce any of these forms, and tokenizers make different tokens of them; scoring adds up their
    probabilities.

    The text of an option is scored once. It gets a leading space if it continues a line of `prompt`, and none if it
    starts a line or, with `chat`, a turn.

    Args:
        item: The item, with options.
        prompt: The rendered prompt that the texts continue.
        choices_as: Whether options are answered by their letter or by their text.
        chat: Whether the prompt is wrapped as a user turn.
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
    """Return a sha256 (64 hex digits) of what the model is shown.

    Args:
        prompt: The rendered prompt.
        image_digests: A text per picture that identifies it: the sha256 of the encoded file, or a description.
        chat: Whether the model's chat template is applied.
    """
    digests = iter(image_digests)
    pieces = [piece if isinstance(piece, str) else {"image": next(digests)} for piece in prompt]
    canonical = json.dumps({"chat": chat, "prompt": pieces}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _closing_lines(item: Item, config: PromptConfig, list_choices: bool) -> list[str]:
    """Return the lines after the segments: the options, then the cue or the instruction."""
    lines = []
    if item.lists_options and list_choices:
        # replace() and not format(): a brace in an option or in the layout is ordinary text.
        lines += [
            config.choice_line.replace("{letter}", letter).replace("{choice}", choice)
            for letter, choice in zip(item.letters, item.choices, strict=True)
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
    """Join adjacent texts, and leave out empty ones."""
    joined: list[str | Image.Image] = []
    for piece in pieces:
        if isinstance(piece, str) and joined and isinstance(joined[-1], str):
            joined[-1] += piece
        elif piece != "":
            joined.append(piece)
    return joined
