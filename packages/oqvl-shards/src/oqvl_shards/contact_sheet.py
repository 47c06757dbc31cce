"""Draw the first samples of a dataset on one picture, for a quick look at what it holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from oqvl_shards.dataset import Dataset
from oqvl_shards.image import decode_image
from oqvl_shards.manifest import Kind
from oqvl_shards.packed.reader import PackedReader
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits, Sample, SampleError

SHEET_KINDS = (Kind.IMAGE_TEXT, Kind.CONVERSATION, Kind.INTERLEAVED, Kind.PACKED)
"""The kinds of datasets that hold pictures."""

# Lengths are in pixels.

CARD_WIDTH = 260
PADDING = 6
MAX_LINES = 8
"""Lines of text on a card."""

_NUM_COLUMNS = 4
_PICTURE_HEIGHT = 190
_MARGIN = 16
_MAX_PICTURES = 4
_FONT_SIZE = 14
_LINE_HEIGHT = 19
_MAX_CHARACTERS = 2000  # longer texts are cut here before they are laid out; the sheet shows less than this anyway

_LIMITS = ReadLimits()
_INK, _FADED, _PAPER, _CARD, _WARNING = "#1b1f24", "#6a737d", "#eef0f3", "#ffffff", "#b3261e"

_Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


@dataclass(frozen=True)
class _Card:
    """One sample on the sheet.

    Args:
        title: The sample's key.
        text: Its text.
        pictures: [I] encoded image files.
        problem: Why it cannot be shown; empty if it can.
    """

    title: str
    text: str = ""
    pictures: tuple[bytes, ...] = ()
    problem: str = ""


class _Box(NamedTuple):
    """A rectangle on the sheet, by its edges."""

    left: int
    top: int
    right: int
    bottom: int


def draw_contact_sheet(dataset: Dataset, num_samples: int) -> Image.Image:
    """Draw the first samples of `dataset`: image-text pairs, conversations, interleaved documents, documents of packs.

    Every sample gets a card, with at most four pictures. Rejected samples are shown too, with the reason.

    Args:
        dataset: A dataset of one of `SHEET_KINDS`.
        num_samples: Maximum number of cards.

    Returns:
        An RGB image. Its width is fixed, and its height depends on the samples. Pillow's built-in font covers only the
        basic Latin letters; other characters show as boxes.
    """
    is_packed = dataset.manifest.kind is Kind.PACKED
    cards = list(islice(_packed_cards(dataset) if is_packed else _sample_cards(dataset), num_samples))
    title = (
        f"{dataset.manifest.name}  ·  {dataset.manifest.kind.value}  ·  first {len(cards)} of {_num_cards(dataset):,}"
    )
    font = ImageFont.load_default(_FONT_SIZE)
    # Lay out the texts. The longest text in a row decides the height of the row.
    rows = [cards[start : start + _NUM_COLUMNS] for start in range(0, len(cards), _NUM_COLUMNS)]
    lines = [[wrap(card.problem or card.text, font) for card in row] for row in rows]
    heights = [_PICTURE_HEIGHT + _LINE_HEIGHT * (2 + max(map(len, row))) for row in lines]
    # Draw the title and the cards.
    width = _MARGIN + _NUM_COLUMNS * (CARD_WIDTH + _MARGIN)
    top = 2 * _MARGIN + _LINE_HEIGHT
    sheet = Image.new("RGB", (width, top + sum(heights) + _MARGIN * len(rows)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN), title, fill=_INK, font=font)
    for row, row_lines, height in zip(rows, lines, heights, strict=True):
        for column, (card, card_lines) in enumerate(zip(row, row_lines, strict=True)):
            left = _MARGIN + column * (CARD_WIDTH + _MARGIN)
            _draw_card(sheet, draw, card, card_lines, _Box(left, top, left + CARD_WIDTH, top + height), font)
        top += height + _MARGIN
    return sheet


def _num_cards(dataset: Dataset) -> int:
    details = dataset.manifest.details
    return details.num_documents if details.kind is Kind.PACKED else dataset.manifest.num_samples


def _sample_cards(dataset: Dataset) -> Iterator[_Card]:
    """Yield one card per sample of a dataset in tars. After the samples of a shard come its rejects, one card each."""
    describe = {Kind.CONVERSATION: _conversation_text, Kind.INTERLEAVED: _interleaved_text}.get(
        dataset.manifest.kind, ShardReader.text
    )
    for shard in dataset.manifest.shards:
        with ShardReader(dataset.whole_shard_path(shard), _LIMITS, name=shard.path) as reader:
            for sample in reader.samples:
                try:
                    pictures = tuple(data for _, data in reader.images(sample))
                    yield _Card(sample.key, describe(reader, sample), pictures)
                except SampleError as error:
                    yield _Card(sample.key, problem=str(error))
            yield from (_Card(reject.key, problem=f"{reject.reason}: {reject.detail}") for reject in reader.rejects)


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


def _packed_cards(dataset: Dataset) -> Iterator[_Card]:
    """Yield a card per document of a packed dataset. D documents and I images are in a pack."""
    for pack in PackedReader(dataset):
        record = pack.record
        ends_D = np.cumsum(record.document_lengths)
        document_I = np.searchsorted(ends_D, record.image_positions, side="right")
        for document, key in enumerate(record.document_keys):
            end, length = int(ends_D[document]), int(record.document_lengths[document])
            num_targets = int(record.is_target[end - length : end].sum())
            pictures = tuple(pack.images[image] for image in np.flatnonzero(document_I == document))
            text = f"pack {pack.pack_id}, document {document}\n{length} stored tokens, {num_targets} of them targets"
            yield _Card(key, text, pictures)


def _draw_card(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    card: _Card,
    lines: Sequence[str],
    box: _Box,
    font: _Font,
) -> None:
    """Draw the pictures of a card, its title, and below them its lines of text."""
    draw.rectangle(box, fill=_CARD)
    _draw_pictures(sheet, draw, card.pictures, box._replace(bottom=box.top + _PICTURE_HEIGHT), font)
    left, y = box.left + PADDING, box.top + _PICTURE_HEIGHT + _LINE_HEIGHT // 4
    draw.text((left, y), _cut(card.title, font), fill=_FADED, font=font)
    for line in lines:
        y += _LINE_HEIGHT
        draw.text((left, y), line, fill=_WARNING if card.problem else _INK, font=font)


def _draw_pictures(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    pictures: Sequence[bytes],
    box: _Box,
    font: _Font,
) -> None:
    """Draw the pictures of a card into `box`: one fills it, two share it, three or four get a quarter each."""
    shown = pictures[:_MAX_PICTURES]
    across = 1 if len(shown) == 1 else 2
    down = 2 if len(shown) > 2 else 1
    width, height = (box.right - box.left) // across, (box.bottom - box.top) // down
    for number, data in enumerate(shown):
        left, top = box.left + number % across * width, box.top + number // across * height
        try:
            picture = ImageOps.contain(decode_image(data, _LIMITS), (width - 4, height - 4))
        except SampleError as error:
            draw.text((left + PADDING, top + PADDING), str(error.reason), fill=_WARNING, font=font)
            continue
        sheet.paste(picture, (left + (width - picture.width) // 2, top + (height - picture.height) // 2))
    if len(pictures) > _MAX_PICTURES:
        text = f"{_MAX_PICTURES} of {len(pictures)}"
        draw.text((box.left + PADDING, box.top + PADDING), text, fill=_WARNING, font=font)


def wrap(text: str, font: _Font) -> list[str]:
    """Break `text` into at most `MAX_LINES` lines of a card's width. The last one ends in … if more text follows."""
    lines: list[str] = []
    for paragraph in text[:_MAX_CHARACTERS].split("\n"):
        line = ""
        for word in paragraph.split():
            # The first piece of a word goes on the current line if it fits; every further piece starts a line.
            for number, piece in enumerate(_pieces(word, font)):
                candidate = f"{line} {piece}" if line and not number else piece
                if line and (number or not _fits(candidate, font)):
                    lines.append(line)
                    candidate = piece
                line = candidate
        if line:
            lines.append(line)
    if len(lines) > MAX_LINES or len(text) > _MAX_CHARACTERS:
        lines = lines[:MAX_LINES]
        lines[-1] = _cut(lines[-1] + " …", font)
    return lines


def _pieces(word: str, font: _Font) -> list[str]:
    """Break a word that is wider than a card: an address, or a sentence in a script without spaces."""
    pieces = [""]
    for character in word:
        if pieces[-1] and not _fits(pieces[-1] + character, font):
            pieces.append("")
        pieces[-1] += character
    return pieces


def _cut(text: str, font: _Font) -> str:
    """Cut `text` to a card's width; end it in … if it was longer."""
    if _fits(text, font):
        return text
    length = min(len(text), CARD_WIDTH)  # every character is at least a pixel wide
    while length and not _fits(text[:length] + "…", font):
        length -= 1
    return text[:length] + "…"


def _fits(text: str, font: _Font) -> bool:
    return len(text) <= CARD_WIDTH and font.getlength(text) <= CARD_WIDTH - 2 * PADDING
