"""Draw one pack as a picture: the token strip, the images in their places, and the targets."""

from __future__ import annotations

import colorsys
import hashlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps
from tokenizers import Tokenizer

from oqvl_shards.atomic import atomic_open
from oqvl_shards.errors import ConfigError
from oqvl_shards.image import decode_image
from oqvl_shards.manifest import PackedDetails
from oqvl_shards.packed import Pack
from oqvl_shards.tar.sample import ReadLimits, SampleError

_WIDTH = 1536  # of the token strip, in pixels
_MARGIN = 24
_ROW_HEIGHT = 96
_ROW_GAP = 10
_BAND_HEIGHT = 10  # of the target marks at the foot of a row
_TEXT_HEIGHT = 18
_MAX_ROWS = 12
_TARGET_COLOR = (20, 20, 20)
_EMPTY_COLOR = (236, 236, 236)


def draw_pack(pack: Pack, details: PackedDetails, output: Path, tokenizer: Path | None = None) -> int:
    """Draw `pack` to the picture file `output`.

    Tokens run left to right, row by row. Each document has one colour. The visual tokens of an image are lighter and
    show the image, or a cross if it cannot be decoded. The dark band below marks targets, and grey is unused capacity.
    One line per document follows.

    Args:
        pack: The pack.
        details: What the manifest says about all packs.
        output: The file to write.
        tokenizer: A `tokenizer.json`, to add the text of each document to its line.

    Returns:
        The number of images that cannot be decoded.

    Raises:
        ConfigError: If the tokenizer cannot be read or is not the one that the pack was made with, or if the picture
            cannot be written (see `picture_format`).
    """
    file_format = picture_format(output)
    texts = _texts(pack, details, tokenizer)
    font = ImageFont.load_default(13)
    num_rows = min(_MAX_ROWS, -(-details.bin_capacity // 64))
    per_row = -(-details.bin_capacity // num_rows)
    top = _MARGIN + 2 * _TEXT_HEIGHT
    height = top + num_rows * (_ROW_HEIGHT + _ROW_GAP) + len(texts) * _TEXT_HEIGHT + _MARGIN
    canvas = Image.new("RGB", (_WIDTH + 2 * _MARGIN, height), "white")
    draw = ImageDraw.Draw(canvas)
    draw.text((_MARGIN, _MARGIN), _title(pack, details), fill="black", font=font)
    strip = _Strip(canvas, draw, top, per_row)
    for row in range(num_rows):
        strip.fill(row * per_row, min((row + 1) * per_row, details.bin_capacity), _EMPTY_COLOR)
    num_broken = _draw_documents(strip, pack)
    y = top + num_rows * (_ROW_HEIGHT + _ROW_GAP)
    for index, text in enumerate(texts):
        draw.rectangle((_MARGIN, y + 3, _MARGIN + 12, y + 15), fill=_color(index))
        draw.text((_MARGIN + 20, y), text, fill="black", font=font)
        y += _TEXT_HEIGHT
    with atomic_open(output) as file:
        canvas.save(file, file_format)
    return num_broken


def picture_format(output: Path) -> str:
    """Return Pillow's name for the format of a picture file's suffix.

    Raises:
        ConfigError: If the suffix names no format that can be written, or the file's directory does not exist.
    """
    if not output.parent.is_dir():
        raise ConfigError(f"output: the directory of {output} does not exist", hint="create it first")
    file_format = Image.registered_extensions().get(output.suffix.lower(), "")
    if file_format not in Image.SAVE:
        raise ConfigError(
            f"output: {output.name} ends in {output.suffix!r}, which is not a picture format that can be written",
            hint="name it .png, .jpg or .webp",
        )
    return file_format


class _Strip:
    """The rows of tokens on the canvas."""

    def __init__(self, canvas: Image.Image, draw: ImageDraw.ImageDraw, top: int, per_row: int) -> None:
        self.canvas, self.draw, self.top, self.per_row = canvas, draw, top, per_row

    def boxes(self, begin: int, end: int) -> list[tuple[int, int, int, int]]:
        """Return the rectangles (left, top, right, bottom) of the tokens from `begin` up to `end`.

        Each is at least one pixel wide, even where a row has more tokens than pixels.
        """
        boxes = []
        while begin < end:
            row, column = divmod(begin, self.per_row)
            stop = min(end, (row + 1) * self.per_row)
            left = _MARGIN + column * _WIDTH // self.per_row
            right = _MARGIN + (column + stop - begin) * _WIDTH // self.per_row
            top = self.top + row * (_ROW_HEIGHT + _ROW_GAP)
            boxes.append((left, top, max(left + 1, right), top + _ROW_HEIGHT))
            begin = stop
        return boxes

    def fill(self, begin: int, end: int, color: tuple[int, int, int]) -> None:
        """Paint the tokens from `begin` up to `end`."""
        for left, top, right, bottom in self.boxes(begin, end):
            self.draw.rectangle((left, top, right - 1, bottom - 1), fill=color)

    def mark(self, begin: int, end: int) -> None:
        """Paint the target band below the tokens from `begin` up to `end`."""
        for left, _, right, bottom in self.boxes(begin, end):
            self.draw.rectangle((left, bottom - _BAND_HEIGHT, right - 1, bottom - 1), fill=_TARGET_COLOR)

    def paste(self, image: Image.Image, begin: int, end: int) -> None:
        """Show `image` in the widest rectangle of the tokens from `begin` up to `end`."""
        left, top, right, bottom = max(self.boxes(begin, end), key=lambda box: box[2] - box[0])
        room = (right - left - 4, bottom - top - _BAND_HEIGHT - 6)
        if min(room) < 8:
            return
        image = ImageOps.contain(image, room)
        self.canvas.paste(image, ((left + right - image.width) // 2, (top + bottom - _BAND_HEIGHT - image.height) // 2))

    def cross(self, begin: int, end: int) -> None:
        """Cross out the tokens from `begin` up to `end`."""
        for left, top, right, bottom in self.boxes(begin, end):
            corners = left, top, right - 1, bottom - _BAND_HEIGHT - 1
            self.draw.line(corners, fill="black", width=2)
            self.draw.line((corners[0], corners[3], corners[2], corners[1]), fill="black", width=2)

    def divide(self, position: int) -> None:
        """Draw the edge at which a document begins."""
        left, top, _, bottom = self.boxes(position, position + 1)[0]
        self.draw.line((left, top, left, bottom), fill="black", width=2)


def _draw_documents(strip: _Strip, pack: Pack) -> int:
    """Draw the documents, their images and their targets, and count the images that cannot be decoded."""
    sequence = pack.record.expand()
    num_broken = 0
    for index, (begin, end) in enumerate(zip(sequence.cu_seqlens[:-1], sequence.cu_seqlens[1:], strict=True)):
        strip.fill(int(begin), int(end), _color(index))
    repeats = np.ones(len(pack.record.input_ids), dtype=np.int64)
    repeats[pack.record.image_positions] = pack.record.image_tokens
    starts = np.cumsum(repeats) - repeats
    document_of = np.searchsorted(sequence.cu_seqlens, starts[pack.record.image_positions], side="right") - 1
    places = zip(pack.record.image_positions, pack.record.image_tokens, document_of, pack.images, strict=True)
    for position, num_tokens, document, image_file in places:
        begin = int(starts[position])
        end = begin + int(num_tokens)
        strip.fill(begin, end, _color(int(document), lightness=0.86))
        try:
            strip.paste(decode_image(image_file, ReadLimits()), begin, end)
        except SampleError:  # packing reads only the header, unless image_check is decode
            strip.cross(begin, end)
            num_broken += 1
    is_target = np.repeat(pack.record.is_target, repeats)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_target, [False]]).astype(np.int8)))
    for begin, end in edges.reshape(-1, 2):
        strip.mark(int(begin), int(end))
    for position in sequence.cu_seqlens[:-1]:
        strip.divide(int(position))
    return num_broken


def _title(pack: Pack, details: PackedDetails) -> str:
    record = pack.record
    share = record.num_tokens / details.bin_capacity
    return (
        f"pack {pack.pack_id}: {len(record.document_lengths)} documents, {len(record.image_types)} images, "
        f"{record.num_tokens:,} of {details.bin_capacity:,} tokens ({share:.1%}), "
        f"{int(record.is_target.sum()):,} targets (dark band)"
    )


def _texts(pack: Pack, details: PackedDetails, tokenizer: Path | None) -> list[str]:
    """Return one line per document: its key and, with a tokenizer, its text.

    Raises:
        ConfigError: If the tokenizer cannot be read, or is not the one that the pack was made with.
    """
    keys = pack.record.document_keys
    if tokenizer is None:
        return list(keys)
    try:
        tokenizer_json = tokenizer.read_bytes()
        decoder = Tokenizer.from_str(tokenizer_json.decode())
    except Exception as error:  # tokenizers raises bare Exception
        raise ConfigError(f"tokenizer: {tokenizer} cannot be read: {error}") from error
    sha256 = hashlib.sha256(tokenizer_json).hexdigest()
    if sha256 != details.tokenizer_sha256:
        raise ConfigError(
            f"tokenizer: {tokenizer} has sha256 {sha256}, but the packs were made with {details.tokenizer_sha256}",
            hint="name the tokenizer.json that it was packed with, or leave out tokenizer to draw no text",
        )
    ends = np.cumsum(pack.record.document_lengths)
    documents = np.split(pack.record.input_ids, ends[:-1])
    texts = [decoder.decode(ids.tolist(), skip_special_tokens=False).replace("\n", " / ") for ids in documents]
    return [f"{key}  {text}"[:220] for key, text in zip(keys, texts, strict=True)]


def _color(index: int, lightness: float = 0.62) -> tuple[int, int, int]:
    """Return the colour of a document; the golden ratio puts neighbours far apart on the colour wheel."""
    red, green, blue = colorsys.hls_to_rgb(index * 0.618034 % 1, lightness, 0.65)
    return round(red * 255), round(green * 255), round(blue * 255)
