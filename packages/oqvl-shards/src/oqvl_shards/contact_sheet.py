"""Draw the first samples of a dataset on one picture, to see with one's own eyes what is in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from oqvl_shards.dataset import Dataset
from oqvl_shards.image import decode_image
from oqvl_shards.manifest import Kind
from oqvl_shards.packed.reader import PackedReader
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits, Sample, SampleError

SHEET_KINDS = (Kind.IMAGE_TEXT, Kind.CONVERSATION, Kind.INTERLEAVED, Kind.PACKED)
"""Kinds of datasets that hold pictures."""

NUM_COLUMNS = 4
CARD_WIDTH = 260
PICTURE_HEIGHT = 190
MARGIN = 16
MAX_PICTURES = 4
MAX_LINES = 8
FONT_SIZE = 14
LINE_HEIGHT = 19
PADDING = 6
MAX_CHARACTERS = 2000
"""Of a text above this only the beginning is laid out; the sheet shows less anyway."""

_LIMITS = ReadLimits()
_INK, _FADED, _PAPER, _CARD, _WARNING = "#1b1f24", "#6a737d", "#eef0f3", "#ffffff", "#b3261e"

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


@dataclass(frozen=True)
class Card:
    """One sample on the sheet.

    Args:
        title: The sample's key.
        text: Its text, in one string.
        pictures: [I] encoded image files.
        problem: Why it cannot be shown; empty when it can.
    """

    title: str
    text: str = ""
    pictures: tuple[bytes, ...] = ()
    problem: str = ""


def draw_contact_sheet(dataset: Dataset, num_samples: int) -> Image.Image:
    """Draw the first samples of `dataset`: image-text pairs, conversations, interleaved documents, documents of packs.

    Samples that are rejected stand among them, with the reason. One card a sample, at most four pictures a card.

    Args:
        dataset: One of `SHEET_KINDS`.
        num_samples: Cards to draw at most.

    Returns:
        An RGB image; its width does not depend on the samples, its height does. Pillow's own font has the basic Latin
        letters; others show as boxes.
    """
    cards = list(
        islice(_packed_cards(dataset) if dataset.manifest.kind is Kind.PACKED else _cards(dataset), num_samples)
    )
    title = (
        f"{dataset.manifest.name}  ·  {dataset.manifest.kind.value}  ·  first {len(cards)} of {_num_cards(dataset):,}"
    )
    font = ImageFont.load_default(FONT_SIZE)
    rows = [cards[start : start + NUM_COLUMNS] for start in range(0, len(cards), NUM_COLUMNS)]
    lines = [[wrap(card.problem or card.text, font) for card in row] for row in rows]
    heights = [PICTURE_HEIGHT + LINE_HEIGHT * (2 + max(map(len, row))) for row in lines]
    width = MARGIN + NUM_COLUMNS * (CARD_WIDTH + MARGIN)
    top = 2 * MARGIN + LINE_HEIGHT
    sheet = Image.new("RGB", (width, top + sum(heights) + MARGIN * len(rows)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), title, fill=_INK, font=font)
    for row, row_lines, height in zip(rows, lines, heights, strict=True):
        for column, (card, card_lines) in enumerate(zip(row, row_lines, strict=True)):
            left = MARGIN + column * (CARD_WIDTH + MARGIN)
            _draw_card(sheet, draw, card, card_lines, (left, top, left + CARD_WIDTH, top + height), font)
        top += height + MARGIN
    return sheet


def _num_cards(dataset: Dataset) -> int:
    details = dataset.manifest.details
    return details.num_documents if details.kind is Kind.PACKED else dataset.manifest.num_samples


def _cards(dataset: Dataset) -> Iterator[Card]:
    describe = {Kind.CONVERSATION: _conversation_text, Kind.INTERLEAVED: _interleaved_text}.get(
        dataset.manifest.kind, ShardReader.text
    )
    for shard in dataset.manifest.shards:
        with ShardReader(dataset.whole_shard_path(shard), _LIMITS, name=shard.path) as reader:
            for sample in reader.samples:
                try:
                    pictures = tuple(data for _, data in reader.images(sample))
                    yield Card(sample.key, describe(reader, sample), pictures)
                except SampleError as error:
                    yield Card(sample.key, problem=str(error))
            yield from (Card(reject.key, problem=f"{reject.reason}: {reject.detail}") for reject in reader.rejects)


def _conversation_text(reader: ShardReader, sample: Sample) -> str:
    turns: Any = reader.json(sample).get("conversations")
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        return "(no conversations)"
    return "\n".join(f"{turn.get('from')}: {turn.get('value')}" for turn in turns)


def _interleaved_text(reader: ShardReader, sample: Sample) -> str:
    texts: Any = reader.json(sample).get("texts")
    if not isinstance(texts, list):
        return "(no texts)"
    return "\n".join("[image]" if text is None else str(text) for text in texts)


def _packed_cards(dataset: Dataset) -> Iterator[Card]:
    for pack in PackedReader(dataset):
        record = pack.record
        ends_D = np.cumsum(record.document_lengths)
        document_I = np.searchsorted(ends_D, record.image_positions, side="right")
        for document, key in enumerate(record.document_keys):
            end, length = int(ends_D[document]), int(record.document_lengths[document])
            num_targets = int(record.is_target[end - length : end].sum())
            pictures = tuple(pack.images[image] for image in np.flatnonzero(document_I == document))
            text = f"pack {pack.pack_id}, document {document}\n{length} stored tokens, {num_targets} of them targets"
            yield Card(key, text, pictures)


def _draw_card(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    card: Card,
    lines: Sequence[str],
    box: tuple[int, int, int, int],
    font: Font,
) -> None:
    left, top, right, _ = box
    draw.rectangle(box, fill=_CARD)
    _draw_pictures(sheet, draw, card.pictures, (left, top, right, top + PICTURE_HEIGHT), font)
    y = top + PICTURE_HEIGHT + LINE_HEIGHT // 4
    draw.text((left + PADDING, y), _cut(card.title, font), fill=_FADED, font=font)
    for line in lines:
        y += LINE_HEIGHT
        draw.text((left + PADDING, y), line, fill=_WARNING if card.problem else _INK, font=font)


def _draw_pictures(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    pictures: Sequence[bytes],
    box: tuple[int, int, int, int],
    font: Font,
) -> None:
    left, top, right, bottom = box
    shown = pictures[:MAX_PICTURES]
    across = 1 if len(shown) == 1 else 2
    down = 2 if len(shown) > 2 else 1
    width, height = (right - left) // across, (bottom - top) // down
    for number, data in enumerate(shown):
        corner = (left + number % across * width, top + number // across * height)
        try:
            picture = ImageOps.contain(decode_image(data, _LIMITS), (width - 4, height - 4))
        except SampleError as error:
            draw.text((corner[0] + PADDING, corner[1] + PADDING), str(error.reason), fill=_WARNING, font=font)
            continue
        sheet.paste(picture, (corner[0] + (width - picture.width) // 2, corner[1] + (height - picture.height) // 2))
    if len(pictures) > MAX_PICTURES:
        draw.text((left + PADDING, top + PADDING), f"{MAX_PICTURES} of {len(pictures)}", fill=_WARNING, font=font)


def wrap(text: str, font: Font) -> list[str]:
    """Break `text` into at most `MAX_LINES` lines of a card's width; the last one ends in … when there is more."""
    lines: list[str] = []
    for paragraph in text[:MAX_CHARACTERS].split("\n"):
        line = ""
        for word in paragraph.split():
            for number, piece in enumerate(_pieces(word, font)):
                candidate = f"{line} {piece}" if line and not number else piece
                if line and (number or not _fits(candidate, font)):
                    lines.append(line)
                    candidate = piece
                line = candidate
        if line:
            lines.append(line)
    if len(lines) > MAX_LINES or len(text) > MAX_CHARACTERS:
        lines = lines[:MAX_LINES]
        lines[-1] = _cut(lines[-1] + " …", font)
    return lines


def _pieces(word: str, font: Font) -> list[str]:
    """Break a word that is wider than a card (an address, a sentence in a script without spaces)."""
    pieces = [""]
    for character in word:
        if pieces[-1] and not _fits(pieces[-1] + character, font):
            pieces.append("")
        pieces[-1] += character
    return pieces


def _cut(text: str, font: Font) -> str:
    """Cut `text` to a card's width, ending in … when it was longer."""
    if _fits(text, font):
        return text
    length = min(len(text), CARD_WIDTH)  # no character is narrower than a pixel
    while length and not _fits(text[:length] + "…", font):
        length -= 1
    return text[:length] + "…"


def _fits(text: str, font: Font) -> bool:
    return len(text) <= CARD_WIDTH and font.getlength(text) <= CARD_WIDTH - 2 * PADDING
