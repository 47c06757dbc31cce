import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from oqvl_shards.config import StageConfig
from oqvl_shards.contact_sheet import CARD_WIDTH, MAX_LINES, PADDING, draw_contact_sheet, wrap
from oqvl_shards.dataset import Dataset, write_manifest
from oqvl_shards.manifest import (
    Account,
    ConversationDetails,
    Details,
    ImageTextDetails,
    InterleavedDetails,
    Lineage,
    Manifest,
    PackedDetails,
)
from oqvl_shards.packed import PackRecord, write_packed_shard
from oqvl_shards.tar.writer import TarWriter

RED, BLUE = (255, 0, 0), (0, 0, 255)


def png(colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), colour).save(buffer, "PNG")
    return buffer.getvalue()


def make_dataset(directory: Path, details: Details, members: list[tuple[str, bytes]], num_samples: int) -> Dataset:
    with TarWriter(directory / "0.tar") as tar:
        for name, data in members:
            tar.add(name, data)
    return describe(directory, details, tar.shard(num_samples, directory))


def describe(directory: Path, details: Details, shard) -> Dataset:
    account = Account(num_in=shard.num_samples, num_kept=shard.num_samples)
    lineage = Lineage.derive("test", "0", StageConfig())
    manifest = Manifest(name="demo", details=details, shards=(shard,), account=account, lineage=lineage)
    return write_manifest(directory, manifest)


def count(sheet: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(sheet) == colour).all(axis=-1).sum())


def test_pairs_are_drawn_in_order_up_to_the_number_asked_for(tmp_path: Path) -> None:
    members = [
        ("a.png", png(RED)),
        ("a.txt", b"red"),
        ("b.png", png(BLUE)),
        ("b.txt", b"blue"),
    ]
    dataset = make_dataset(tmp_path, ImageTextDetails(), members, 2)
    one, two = draw_contact_sheet(dataset, 1), draw_contact_sheet(dataset, 5)
    assert count(one, RED) == count(two, RED) > 10_000
    assert (count(one, BLUE), count(two, BLUE)) == (0, count(two, RED))
    assert one.width == two.width
    assert draw_contact_sheet(dataset, 5).tobytes() == two.tobytes()


def test_what_cannot_be_shown_says_why_and_stops_nothing(tmp_path: Path) -> None:
    members = [
        ("a.png", b"no image"),
        ("a.txt", b"caption"),
        ("b.png", png(BLUE)),
        ("c.png", png(RED)),
        ("c.txt", b"caption"),
        ("d.pkl", b""),
    ]
    sheet = draw_contact_sheet(make_dataset(tmp_path, ImageTextDetails(), members, 3), 5)
    assert count(sheet, RED) > 10_000
    assert count(sheet, (0xB3, 0x26, 0x1E)) > 50  # the ink of warnings


@pytest.mark.parametrize(
    ("details", "document"),
    [
        (ConversationDetails(), {"conversations": [{"from": "human", "value": "<image><image> hi"}]}),
        (ConversationDetails(), {"conversations": 7}),
        (InterleavedDetails(), {"texts": ["a", None, None], "images": [None, "0.png", "1.png"]}),
        (InterleavedDetails(), {"texts": 7}),
    ],
)
def test_several_pictures_share_a_card(tmp_path: Path, details: Details, document: dict[str, object]) -> None:
    members = [("a.json", json.dumps(document).encode()), ("a.0.png", png(RED)), ("a.1.png", png(BLUE))]
    sheet = draw_contact_sheet(make_dataset(tmp_path, details, members, 1), 1)
    assert count(sheet, RED) == count(sheet, BLUE) > 1000


def test_packs_are_drawn_document_by_document(tmp_path: Path) -> None:
    record = PackRecord(
        input_ids=np.array([9, 1, 2, 9, 3], dtype=np.int32),
        is_target=np.array([False, True, True, False, True]),
        document_lengths=np.array([3, 2], dtype=np.int32),
        image_positions=np.array([0, 3], dtype=np.int32),
        image_tokens=np.array([4, 4], dtype=np.int32),
        document_keys=("a", "b"),
        image_types=("png", "png"),
    )
    shard = write_packed_shard(
        tmp_path / "shard-00000.tar", [(record, [png(RED), png(BLUE)])], first_pack_id=0, relative_to=tmp_path
    )
    details = PackedDetails(
        bin_capacity=16,
        visual_tokens_per_image=4,
        image_token_id=9,
        pad_token_id=0,
        vocab_size=10,
        tokenizer_sha256="0" * 64,
        num_documents=2,
        num_images=2,
        num_tokens=11,
        num_target_tokens=3,
        lower_bound=1,
    )
    dataset = describe(tmp_path, details, shard)
    first, both = draw_contact_sheet(dataset, 1), draw_contact_sheet(dataset, 2)
    assert count(first, RED) == count(both, RED) == count(both, BLUE) > 10_000
    assert count(first, BLUE) == 0


@pytest.mark.parametrize(
    "text", ["", "short", "word " * 500, "x" * 5000, "a\nb\n\nc", "long" * 30 + " words here", "日本語" * 20]
)
def test_text_fits_its_card(text: str) -> None:
    font = ImageFont.load_default(14)
    lines = wrap(text, font)
    assert len(lines) <= MAX_LINES
    assert all(font.getlength(line) <= CARD_WIDTH - 2 * PADDING for line in lines)
    shown = "".join("".join(lines).split())
    whole = "".join(text.split())
    assert shown == whole or shown.endswith("…")
