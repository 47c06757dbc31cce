"""Split the reasoning of a model output from its answer.

Models mark their reasoning in many ways. These are known, in any letter case:

- blocks: `<think>...</think>` and the same with `thinking`, `thought`, `reasoning`, `reflection`; `[THINK]...[/THINK]`
  and `◁think▷...◁/think▷`. They may be nested, repeated, and stand anywhere.
- a closing tag without an opening one (chat templates of Qwen and DeepSeek open the block in the prompt): everything
  before it is reasoning.
- channels (GPT-OSS, "Harmony"): `<|channel|>analysis<|message|>...<|channel|>final<|message|>...`. Only the channel
  `final` is an answer. Decoders that drop special tokens leave `analysis...assistantfinal...`, which is read the same.

A block that is opened and never closed swallows the output: there is no answer at all. That includes an opening tag
that is only mentioned inside a block, because nothing tells a mention from a nested block.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

Spans = tuple[tuple[int, int], ...]

FULL_WIDTH: dict[int, int] = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
"""The full-width form of each ASCII character, for `str.translate`; the length of the text stays."""

_TAG = re.compile(
    r"""
      <\s{0,4}(?P<slash>/?)\s{0,4}(?P<tag>think|thinking|thoughts?|reasoning|reflection)(?=[\s/>])[^<>]{0,200}>
    | \[(?P<square_slash>/?)(?P<square>think)\]
    | \u25c1(?P<kimi_slash>/?)(?P<kimi>think(?:ing)?)\u25b7
    """,
    re.IGNORECASE | re.VERBOSE,
)
_CHANNEL = re.compile(
    r"<\|channel\|>\s{0,4}(\w{1,40})[^<]{0,200}(?:<\|constrain\|>[^<]{0,40})?<\|message\|>|<\|channel\|>"
)
_CHANNEL_END = re.compile(r"<\|(?:end|return|call|start)\|>")
_BARE_CHANNELS = re.compile(r"\s*analysis(?=[A-Z])")
_BARE_FINAL = "assistantfinal"


@dataclass(frozen=True, slots=True)
class Transcript:
    """One model output, split.

    Args:
        reasoning: What the model wrote for itself.
        answer: What it says; empty if a block of reasoning never ends.
        is_closed: Whether all reasoning ends.
        spans: Where the pieces of `answer` are in the output; joined, they are `answer`.
    """

    reasoning: str
    answer: str
    is_closed: bool
    spans: Spans


def split_reasoning(text: str) -> Transcript:
    r"""Split the reasoning of a model output from its answer.

    Args:
        text: The output.

    Returns:
        Both parts. The pieces of an answer around a block are joined without anything between them.

    Example:
        >>> split_reasoning("<think>A? No.</think>\nB").answer
        '\nB'
    """
    plain = text if text.isascii() else text.translate(FULL_WIDTH)
    if not any(mark in plain for mark in "<[\u25c1") and not _BARE_CHANNELS.match(plain):
        return Transcript("", text, True, ((0, len(text)),))
    channels = _final_channels(plain)
    pieces: list[tuple[int, int]] = []
    for start, end in channels:
        inner = _outside_blocks(plain, start, end)
        if inner is None:
            return Transcript(text, "", False, ())
        pieces += inner
    if not channels:
        return Transcript(text, "", False, ())
    spans = tuple((start, end) for start, end in pieces if start < end)
    return Transcript(_cut(text, _complement(spans, len(text))), _cut(text, spans), True, spans)


def _final_channels(plain: str) -> Spans:
    """Return where the channel `final` is: everything if the output has no channels, nothing if no `final` begins."""
    if _BARE_CHANNELS.match(plain):
        final = plain.rfind(_BARE_FINAL)
        return () if final < 0 else ((final + len(_BARE_FINAL), len(plain)),)
    marks = list(_CHANNEL.finditer(plain)) if "<|channel|>" in plain else []
    if not marks:
        return ((0, len(plain)),)
    spans: list[tuple[int, int]] = []
    ends = [*(mark.start() for mark in marks[1:]), len(plain)]
    for mark, limit in zip(marks, ends, strict=True):
        if mark.group(1) == "final":
            stop = _CHANNEL_END.search(plain, mark.end(), limit)
            spans.append((mark.end(), stop.start() if stop else limit))
    return tuple(spans)


def _outside_blocks(plain: str, start: int, end: int) -> list[tuple[int, int]] | None:
    """Return the pieces of `plain[start:end]` outside all blocks; None if a block never ends.

    A closing tag closes the innermost block of its name and all blocks inside that. One that closes nothing makes
    everything before it reasoning, unless it is inside a block.
    """
    pieces: list[tuple[int, int]] = []
    stack: list[str] = []
    num_open: Counter[str] = Counter()
    cursor = start
    for tag in _TAG.finditer(plain, start, end):
        name = (tag["tag"] or tag["square"] or tag["kimi"]).lower()
        is_closing = bool(tag["slash"] or tag["square_slash"] or tag["kimi_slash"])
        if not is_closing and tag.group().endswith("/>"):  # an empty block
            pieces += [] if stack else [(cursor, tag.start())]
            cursor = cursor if stack else tag.end()
        elif not is_closing:
            pieces += [] if stack else [(cursor, tag.start())]
            stack.append(name)
            num_open[name] += 1
        elif num_open[name]:
            while (popped := stack.pop()) != name:
                num_open[popped] -= 1
            num_open[name] -= 1
            cursor = cursor if stack else tag.end()
        elif not stack:
            pieces.clear()
            cursor = tag.end()
    return None if stack else [*pieces, (cursor, end)]


def _complement(spans: Iterable[tuple[int, int]], length: int) -> Spans:
    edges = [0, *(edge for span in spans for edge in span), length]
    return tuple((edges[index], edges[index + 1]) for index in range(0, len(edges), 2))


def _cut(text: str, spans: Iterable[tuple[int, int]]) -> str:
    return "".join(text[start:end] for start, end in spans)
