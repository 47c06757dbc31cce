import base64
import json
from pathlib import Path

import pytest

from oqvl_shards.errors import ConfigError
from oqvl_shards.importers.obelics import convert_document, find_sources, sources_digest
from oqvl_shards.tar.sample import SampleError


def info(data: bytes) -> dict[str, str]:
    return {"image_base64": base64.b64encode(data).decode(), "url": "left out"}


def convert(texts: object, image_info: object):
    return convert_document(json.dumps({"texts": texts, "image_info": image_info}).encode())


def test_places_keep_their_order(images: dict[str, bytes]) -> None:
    sample = convert(["before", None, "between", None], [None, info(images["JPEG"]), None, info(images["PNG"])])
    assert sample.document == {
        "texts": ["before", None, "between", None],
        "images": [None, "0.jpg", None, "1.png"],
    }
    assert sample.images == [("jpg", images["JPEG"]), ("png", images["PNG"])]
    assert sample.counts == {"text_characters": 13}


@pytest.mark.parametrize("broken", [{"image_base64": None}, {"image_base64": "%%"}, {"image_base64": "é"}, {}, "x"])
def test_images_that_cannot_be_read_and_blanks_leave_no_place(images: dict[str, bytes], broken: object) -> None:
    sample = convert(
        [None, "text", " \n", None, None, None],
        [broken, None, None, None, info(images["GIF"]), info(images["WEBP"])],
    )
    assert sample.document == {"texts": ["text", None], "images": [None, "0.webp"]}
    assert sample.counts == {"text_characters": 4, "dropped_images": 2, "dropped_blanks": 2}


@pytest.mark.parametrize(
    ("texts", "image_info", "reason"),
    [
        (["a"], [], "misaligned"),
        ("a", "b", "misaligned"),
        (None, None, "misaligned"),
        (["a"], [{"image_base64": None}], "misaligned"),
        (["a", None], [None, None], "no_image"),
        (["a", None], [None, {"image_base64": None}], "no_image"),
        ([], [], "no_image"),
    ],
)
def test_documents_that_cannot_be_used_are_named(texts: object, image_info: object, reason: str) -> None:
    with pytest.raises(SampleError) as caught:
        convert(texts, image_info)
    assert caught.value.reason == reason


def test_a_document_needs_text(images: dict[str, bytes]) -> None:
    with pytest.raises(SampleError) as caught:
        convert([None, ""], [info(images["PNG"]), None])
    assert caught.value.reason == "no_text"


def test_sources_are_a_file_or_the_files_of_a_folder(tmp_path: Path) -> None:
    for name in ("10.tar", "9.jsonl", "sub/1.json", "readme.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    files = find_sources(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in files] == ["9.jsonl", "10.tar", "sub/1.json"]
    assert find_sources(tmp_path / "10.tar") == [tmp_path / "10.tar"]
    with pytest.raises(ConfigError, match=r"no file or directory at .*absent"):
        find_sources(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty holds no \.tar, \.jsonl or \.json file"):
        find_sources(tmp_path / "empty")


def test_the_digest_of_sources_covers_names_and_sizes_not_places(tmp_path: Path) -> None:
    def digest(folder: str, name: str, data: bytes) -> str:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(data)
        return sources_digest(find_sources(tmp_path / folder), tmp_path / folder)

    first = digest("a", "1.tar", b"x")
    assert digest("b", "1.tar", b"x") == first
    assert digest("c", "2.tar", b"x") != first
    assert digest("d", "1.tar", b"xx") != first
    assert sources_digest([tmp_path / "a" / "1.tar"], tmp_path / "a" / "1.tar") == first
