"""Open-Qwen2VL's packed JSON: one file per pack, with the samples of the pack and their images in base64.

A file `{hex}_packed.json` holds `{"data": [...], "lengths": [...]}`. `data` has one object per sample, in the layout of
OBELICS: `{"texts": [...], "image_info": [{"image_base64": "..."}, ...], "key": ..., "uid": ..., "length": ...}`. A
caption is a document of one image and one text (as in the public release; arXiv 2504.00595). The packs are split into
their samples, because a new packing does not depend on the old one.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from oqvl_shards.errors import ConfigError
from oqvl_shards.importers.conversion import LIMITS, ConvertedSample, ImportReason
from oqvl_shards.importers.obelics import decode_image_base64
from oqvl_shards.manifest import FieldSpec
from oqvl_shards.natural_order import natural_key
from oqvl_shards.tar.reader import parse_json
from oqvl_shards.tar.sample import RejectReason, SampleError

FIELDS = (
    FieldSpec(name="image", dtype="image", description="the pack's JPEG, as it left base64"),
    FieldSpec(name="text", dtype="text", description="the caption"),
    FieldSpec(name="json", dtype="json", description="uid and key of the sample, as the pack has them"),
)

_PACK_PATTERN = "*_packed.json"
_PICKLE_TYPES = frozenset({".pkl", ".pickle"})


def find_packs(source: Path) -> list[Path]:
    """Return the pack files in `source` and below it, in natural order of their paths.

    Raises:
        ConfigError: If there is no such directory, it holds no packs, or it holds pickles.
    """
    if not source.is_dir():
        raise ConfigError(f"no directory at {source}", hint="check the path")
    pickles = sorted(path for path in source.rglob("*") if path.suffix in _PICKLE_TYPES)
    if pickles:
        raise ConfigError(
            f"{source} holds {len(pickles)} pickles, the first is {pickles[0].relative_to(source)}: loading a pickle "
            "runs any code that its author put into it, so none is read",
            hint="import the WebDataset shards that they were packed from (oqvl-shards import webdataset) and pack "
            "those, or write the packs as JSON with the tool that made them",
        )
    packs = [path for path in source.rglob(_PACK_PATTERN) if path.is_file()]
    if not packs:
        raise ConfigError(f"{source} holds no {_PACK_PATTERN} file", hint="check the path")
    return sorted(packs, key=lambda path: natural_key(path.relative_to(source).as_posix()))


def convert_caption(data: bytes) -> ConvertedSample:
    """Turn one sample of a pack into a sample of kind `image_text`.

    Raises:
        SampleError: If it does not hold one image and one text.
    """
    record = parse_json(data, LIMITS)
    infos, texts = _present(record.get("image_info")), _present(record.get("texts"))
    if not infos:
        raise SampleError(RejectReason.NO_IMAGE)
    if len(infos) > 1 or len(texts) > 1:
        raise SampleError(ImportReason.MISALIGNED, f"{len(infos)} images and {len(texts)} texts, expected one of each")
    if not texts or not isinstance(texts[0], str) or not texts[0].strip():
        raise SampleError(RejectReason.EMPTY_TEXT)
    image = decode_image_base64(infos[0].get("image_base64") if isinstance(infos[0], dict) else None)
    if image is None:
        raise SampleError(RejectReason.IMAGE_BROKEN)
    document = {name: record[name] for name in ("uid", "key") if isinstance(record.get(name), str)}
    return ConvertedSample(document, [image], Counter(caption_characters=len(texts[0])), caption=texts[0])


def _present(values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise SampleError(ImportReason.MISALIGNED, "texts and image_info are not lists")
    return [value for value in values if value is not None]
