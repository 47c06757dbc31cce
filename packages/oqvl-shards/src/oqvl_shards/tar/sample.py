"""The samples of a shard, the reasons for rejecting them, and the limits on reading."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import Field

from oqvl_shards.config import StageConfig
from oqvl_shards.errors import DataError
from oqvl_shards.tar.index import Member

IMAGE_TYPES = frozenset({"jpg", "jpeg", "png", "webp"})
"""Types of the members that hold images."""

MEMBER_TYPES = IMAGE_TYPES | {"txt", "json"}
"""Types of the members that are read. All others stay closed (`.pkl`, `.pyd`, `.gz` and the like)."""

PACK_MEMBER_TYPES = IMAGE_TYPES | {"safetensors"}
"""Types of the members of packed shards."""


class RejectReason(StrEnum):
    """The reasons for leaving out a sample. A stage defines its own reasons in another `StrEnum`."""

    TRUNCATED_SHARD = "truncated_shard"
    """The shard ends inside the sample, or right after it without an end-of-archive block."""
    BAD_HEADER = "bad_header"
    """The header after the sample's last whole member cannot be read, so the sample may lack members."""
    DUPLICATE_KEY = "duplicate_key"
    """The key appears again after another key, or one of its members appears twice."""
    UNSAFE_NAME = "unsafe_name"
    """A member name is absolute, goes upward, is not UTF-8, or holds control characters or backslashes."""
    NO_MEMBER = "no_member"
    """None of the sample's members is of a type that is read."""
    MEMBER_TOO_LARGE = "member_too_large"
    """A member is larger than `ReadLimits.max_member_bytes`."""
    NO_IMAGE = "no_image"
    """There is no image member."""
    MANY_IMAGES = "many_images"
    """There is more than one image member where one is expected."""
    IMAGE_BROKEN = "image_broken"
    """The image is not a JPEG, PNG or WebP file, or cannot be decoded to its last pixel."""
    IMAGE_TOO_LARGE = "image_too_large"
    """The image header states more pixels than `ReadLimits.max_image_pixels`."""
    IMAGE_TOO_SMALL = "image_too_small"
    """A side of the image is below `ReadLimits.min_image_side`."""
    IMAGE_TYPE_MISMATCH = "image_type_mismatch"
    """The image is of another format than the member's name says."""
    NO_TEXT = "no_text"
    """There is neither a `txt` member nor a string `caption` in the `json` member."""
    EMPTY_TEXT = "empty_text"
    """The text is empty or whitespace."""
    TEXT_NOT_UTF8 = "text_not_utf8"
    """The text is not valid UTF-8, or an escape in the JSON stands for half a surrogate pair."""
    NO_JSON = "no_json"
    """There is no `json` member."""
    NOT_JSON = "not_json"
    """The `json` member does not hold one JSON object."""
    JSON_TOO_LARGE = "json_too_large"
    """The `json` member is above `ReadLimits.max_json_bytes`."""
    JSON_TOO_DEEP = "json_too_deep"
    """The JSON is nested deeper than `ReadLimits.max_json_depth`."""


class SampleError(DataError):
    """One sample cannot be used. A stage catches this and counts the sample by `reason`.

    Args:
        reason: Why, a `RejectReason` or a member of a stage's own `StrEnum`.
        detail: What was found, for people.
    """

    def __init__(self, reason: StrEnum, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.detail)


@dataclass(frozen=True, slots=True)
class Reject:
    """A sample that was left out.

    Args:
        key: The sample's key.
        reason: Why, a `RejectReason` or a member of a stage's own `StrEnum`.
        detail: What was found, for people.
    """

    key: str
    reason: StrEnum
    detail: str = ""


class Sample(NamedTuple):
    """The members of one shard that share a key.

    Args:
        key: The member name up to the first dot after the last slash.
        shard: Name of the shard: its path below the dataset's directory.
        members: The members of the types that are read, in the order of the shard.
        suffixes: The part of each member's name after the key and its dot, in lower case.
    """

    key: str
    shard: str
    members: tuple[Member, ...]
    suffixes: tuple[str, ...]

    def member(self, suffix: str) -> Member | None:
        """Return the member `{key}.{suffix}` (suffix in lower case), or None if there is none."""
        return self.members[self.suffixes.index(suffix)] if suffix in self.suffixes else None

    @property
    def image_members(self) -> tuple[Member, ...]:
        """The members that hold images, in the order of the shard."""
        return tuple([self.members[place] for place in _image_places(self.suffixes)])


@lru_cache
def _image_places(suffixes: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(place for place, suffix in enumerate(suffixes) if suffix.rpartition(".")[2] in IMAGE_TYPES)


class ReadLimits(StageConfig):
    """Limits on what is read from untrusted shards. A sample above one of them is rejected with a reason."""

    max_member_bytes: int = Field(default=64 << 20, gt=0, description="largest member that is read, in bytes")
    max_json_bytes: int = Field(default=4 << 20, gt=0, description="largest json member that is parsed, in bytes")
    max_json_depth: int = Field(default=32, gt=0, le=500, description="deepest nesting of JSON arrays and objects")
    # Pillow itself refuses images above the upper bound, which is Image.MAX_IMAGE_PIXELS * 2.
    max_image_pixels: int = Field(
        default=50_000_000, gt=0, le=178_956_970, description="largest image that is decoded, in pixels"
    )
    min_image_side: int = Field(default=2, gt=0, description="smallest width and height of an image, in pixels")


def split_name(name: str) -> tuple[str, str]:
    """Split a member name into key and lower-case suffix at the first dot after the last slash.

    The suffix may hold dots: `split_name("a/b.001.JPG") == ("a/b", "001.jpg")`. Both parts are empty for a name that
    has no key or no dot (`.hidden`, `README`).
    """
    base = name.rfind("/") + 1
    dot = name.find(".", base)
    return (name[:dot], name[dot + 1 :].lower()) if dot > base else ("", "")


def member_type(name: str) -> str:
    """Return the last component of a member name's suffix: `member_type("b.001.JPG") == "jpg"`."""
    return split_name(name)[1].rpartition(".")[2]
