import json
import os
from pathlib import Path

import pytest

from oqvl_shards.importers.llava import convert_conversation
from oqvl_shards.tar.sample import SampleError

TURNS = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A pipe."}]


@pytest.fixture
def folder(tmp_path: Path, images: dict[str, bytes]) -> Path:
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(images["JPEG"])
    (folder / "sub" / "b.png").write_bytes(images["PNG"])
    (folder / "misnamed.jpg").write_bytes(images["WEBP"])
    (folder / "animation.gif").write_bytes(images["GIF"])
    (folder / "tiny.png").write_bytes(images["tiny"])
    (folder / "page.jpg").write_bytes(b"<html>not found</html>")
    (folder / "inside.jpg").symlink_to(folder / "a.jpg")
    (tmp_path / "secret.jpg").write_bytes(images["JPEG"])
    (folder / "outside.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    os.mkfifo(folder / "pipe.jpg")
    return folder


def convert(folder: Path, **record: object):
    return convert_conversation(json.dumps(record).encode(), folder)


def test_a_conversation_with_an_image(folder: Path, images: dict[str, bytes]) -> None:
    sample = convert(folder, id="x1", image="a.jpg", conversations=TURNS, extra="left out")
    assert sample.document == {"conversations": TURNS, "id": "x1", "source_images": ["a.jpg"]}
    assert sample.images == [("jpg", images["JPEG"])]
    assert sample.counts == {"turns": 2, "text_characters": 26, "conversations_without_image": 0}


def test_several_images_and_none(folder: Path, images: dict[str, bytes]) -> None:
    turns = [
        {"from": "system", "value": "Be brief."},
        {"from": "user", "value": "<image> or <image>?"},
        {"from": "assistant", "value": "The first."},
    ]
    sample = convert(folder, image=["a.jpg", "sub/b.png"], conversations=turns)
    assert [turn["from"] for turn in sample.document["conversations"]] == ["system", "human", "gpt"]
    assert sample.images == [("jpg", images["JPEG"]), ("png", images["PNG"])]
    text_only = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    for image in ({}, {"image": None}, {"image": ""}, {"image": []}):
        sample = convert(folder, conversations=text_only, **image)
        assert sample.document == {"conversations": text_only}
        assert sample.images == []
        assert sample.counts["conversations_without_image"] == 1


def test_the_type_is_that_of_the_content(folder: Path, images: dict[str, bytes]) -> None:
    assert convert(folder, image="misnamed.jpg", conversations=TURNS).images == [("webp", images["WEBP"])]


def test_a_link_inside_the_folder_is_followed(folder: Path, images: dict[str, bytes]) -> None:
    assert convert(folder, image="inside.jpg", conversations=TURNS).images == [("jpg", images["JPEG"])]


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("../secret.jpg", "unsafe_path"),
        ("sub/../../secret.jpg", "unsafe_path"),
        ("sub/../a.jpg", "unsafe_path"),
        ("/etc/passwd", "unsafe_path"),
        ("outside.jpg", "unsafe_path"),
        ("a\0.jpg", "unsafe_path"),
        ("..\\secret.jpg", "unsafe_path"),
        (7, "unsafe_path"),
        (["a.jpg", 7], "unsafe_path"),
        ("absent.jpg", "missing_image"),
        ("sub", "missing_image"),
        ("a.jpg/b.jpg", "missing_image"),
        ("x" * 300 + ".jpg", "missing_image"),
        ("loop.jpg", "missing_image"),
        ("pipe.jpg", "missing_image"),
        ("animation.gif", "image_broken"),
        ("page.jpg", "image_broken"),
        ("tiny.png", "image_too_small"),
    ],
)
def test_images_that_cannot_be_used_are_named(folder: Path, image: object, reason: str) -> None:
    turns = TURNS if not isinstance(image, list) else [{"from": "human", "value": "<image><image>"}]
    with pytest.raises(SampleError) as caught:
        convert(folder, image=image, conversations=turns)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("values", "speakers"),
    [
        (["no mark", "yes"], ["human", "gpt"]),
        (["<image><image>", "yes"], ["human", "gpt"]),
        (["<image>", "yes <image>"], ["human", "gpt"]),
        (["none", "<image>"], ["human", "gpt"]),
        (["<image>", "hi"], ["system", "human"]),
    ],
)
def test_marks_that_do_not_match_the_images_are_named(folder: Path, values: list[str], speakers: list[str]) -> None:
    turns = [{"from": speaker, "value": value} for speaker, value in zip(speakers, values, strict=True)]
    with pytest.raises(SampleError) as caught:
        convert(folder, image="a.jpg", conversations=turns)
    assert caught.value.reason == "image_mark_mismatch"


@pytest.mark.parametrize(
    "conversations",
    [
        None,
        [],
        {},
        "text",
        ["text"],
        [{"from": "human"}],
        [{"value": "hi"}],
        [{"from": "human", "value": 1}],
        [{"from": "tool", "value": "hi"}],
        [{"from": ["human"], "value": "hi"}],
    ],
)
def test_other_conversations_are_named(folder: Path, conversations: object) -> None:
    with pytest.raises(SampleError) as caught:
        convert(folder, conversations=conversations)
    assert caught.value.reason == "bad_conversation"


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b'{"a": NaN}', b"\xff"])
def test_records_that_are_not_json_objects_are_named(folder: Path, data: bytes) -> None:
    with pytest.raises(SampleError) as caught:
        convert_conversation(data, folder)
    assert caught.value.reason in ("not_json", "text_not_utf8")
