"""Read the samples of one shard: index it first, then read only the bytes that are asked for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, NoReturn, Self

from oqvl_shards.errors import DataError
from oqvl_shards.garbage import collector_paused
from oqvl_shards.tar.index import Member, TarDamage, TarIndex, open_shard_file, scan_descriptor, unsafe_names
from oqvl_shards.tar.sample import (
    MEMBER_TYPES,
    ReadLimits,
    Reject,
    RejectReason,
    Sample,
    SampleError,
    member_type,
    split_name,
)

_DAMAGE_REASONS = {
    TarDamage.TRUNCATED_MEMBER: RejectReason.TRUNCATED_SHARD,
    TarDamage.MISSING_END: RejectReason.TRUNCATED_SHARD,
    TarDamage.BAD_HEADER: RejectReason.BAD_HEADER,
    TarDamage.DATA_AFTER_END: RejectReason.BAD_HEADER,
}


class ShardReader:
    """The samples of one tar. Use it as a context manager; it keeps the file open.

    Every key in the tar is in exactly one of `samples` and `rejects`. A fault inside a member shows when the member is
    read, as a `SampleError`.

    Args:
        path: The tar.
        limits: Limits on what is read.
        name: The shard's name in its samples: its path below the dataset's directory. By default the file name.
        member_types: Types of the members that samples are made of. All other members stay closed.

    Attributes:
        index: The members of the tar, and its damage.
        samples: The samples without a structural fault, in the order of the shard.
        rejects: The samples with a structural fault, in the order of the shard.

    Raises:
        DataError: If there is no file at `path`, or it cannot be read.
    """

    def __init__(
        self,
        path: Path | str,
        limits: ReadLimits | None = None,
        *,
        name: str | None = None,
        member_types: frozenset[str] = MEMBER_TYPES,
    ) -> None:
        self.path = Path(path)
        self.name = name or self.path.name
        self.limits = limits or ReadLimits()
        self._descriptor = open_shard_file(self.path)
        try:
            with collector_paused():
                self.index = scan_descriptor(self._descriptor, self.path)
                self.samples, self.rejects = _group(self.index, self.name, self.limits, member_types)
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. The index and the samples stay usable."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def read(self, member: Member) -> bytes:
        """Return the content of `member`.

        Raises:
            SampleError: If it is larger than `limits` allows.
            DataError: If the file is shorter than when it was indexed.
        """
        if member.size > self.limits.max_member_bytes:
            raise _too_large(member, self.limits)
        data = os.pread(self._descriptor, member.size, member.offset)
        if len(data) < member.size:
            raise DataError(f"{self.path} became shorter while it was read", hint="do not write to shards in use")
        return data

    def head(self, member: Member, num_bytes: int) -> bytes:
        """Return the first `num_bytes` of `member`, or all of it if it is shorter."""
        return os.pread(self._descriptor, min(num_bytes, member.size), member.offset)

    def text(self, sample: Sample) -> str:
        """Return the caption without outer whitespace: the `txt` member, or else `caption` of the `json` member.

        Raises:
            SampleError: If the sample has no caption, or the caption is blank or not UTF-8.
        """
        member = sample.member("txt")
        if member is not None:
            text: Any = _decode_utf8(self.read(member))
        elif sample.member("json") is not None:
            text = self.json(sample).get("caption")
        else:
            text = None
        if not isinstance(text, str):
            raise SampleError(RejectReason.NO_TEXT, f"no txt member, and the json caption is {type(text).__name__}")
        text = text.strip()
        if not text:
            raise SampleError(RejectReason.EMPTY_TEXT)
        return text

    def json(self, sample: Sample) -> dict[str, Any]:
        """Return the object in the `json` member.

        Raises:
            SampleError: If the member is missing, malformed, too large, or nested too deeply.
        """
        member = sample.member("json")
        if member is None:
            raise SampleError(RejectReason.NO_JSON)
        if member.size > self.limits.max_json_bytes:
            raise SampleError(
                RejectReason.JSON_TOO_LARGE, f"{member.size} bytes, at most {self.limits.max_json_bytes} are parsed"
            )
        return parse_json(self.read(member), self.limits)

    def images(self, sample: Sample) -> list[tuple[str, bytes]]:
        """Return (type, file content) of every image member, in the order of the shard; empty if there is none."""
        return [(member_type(member.name), self.read(member)) for member in sample.image_members]

    def image(self, sample: Sample) -> tuple[str, bytes]:
        """Return (type, file content) of the only image member of an image-text sample.

        Raises:
            SampleError: If it has no image member, or more than one.
        """
        images = self.images(sample)
        if not images:
            raise SampleError(RejectReason.NO_IMAGE)
        if len(images) > 1:
            raise SampleError(RejectReason.MANY_IMAGES, f"{len(images)} image members, expected one")
        return images[0]


def parse_json(data: bytes, limits: ReadLimits) -> dict[str, Any]:
    """Parse untrusted bytes that should hold one JSON object (RFC 8259: no NaN, no infinity).

    Raises:
        SampleError: If they do not, or the object is nested too deeply.
    """
    text = _decode_utf8(data).strip(" \t\n\r")
    try:
        value, end = _DECODER.raw_decode(text)
        if end < len(text):
            raise ValueError(f"something follows the object at character {end}")
    except RecursionError as error:
        raise SampleError(RejectReason.JSON_TOO_DEEP, f"deeper than {limits.max_json_depth}") from error
    except ValueError as error:
        raise SampleError(RejectReason.NOT_JSON, str(error)) from error
    if not isinstance(value, dict):
        raise SampleError(RejectReason.NOT_JSON, f"found {type(value).__name__}, expected an object")
    if text.count("{") + text.count("[") > limits.max_json_depth:  # with fewer brackets it cannot be that deep
        _check_depth(value, limits)
    if "\\u" in text:  # JSON can hold an escaped half of a surrogate pair, which no encoder accepts
        _check_encodable(value)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Created once, because `json.loads` with an option creates a new decoder on every call.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _check_depth(value: dict[str, Any], limits: ReadLimits) -> None:
    level: list[Any] = [value]
    for _ in range(limits.max_json_depth):
        children = (container.values() if isinstance(container, dict) else container for container in level)
        level = [child for group in children for child in group if isinstance(child, dict | list)]
        if not level:
            return
    raise SampleError(RejectReason.JSON_TOO_DEEP, f"deeper than {limits.max_json_depth}")


def _check_encodable(value: dict[str, Any]) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise SampleError(RejectReason.TEXT_NOT_UTF8, "an escape stands for half a surrogate pair") from error


def _decode_utf8(data: bytes) -> str:
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise SampleError(RejectReason.TEXT_NOT_UTF8, f"byte {error.start}: {error.reason}") from error


def _too_large(member: Member, limits: ReadLimits) -> SampleError:
    return SampleError(
        RejectReason.MEMBER_TOO_LARGE,
        f"{member.name} has {member.size} bytes, at most {limits.max_member_bytes} are read",
    )


class _Suffixes(NamedTuple):
    """Facts that follow from the suffixes of a sample's members. Nearly all samples of a shard have the same suffixes.

    Args:
        are_distinct: Whether all of them are different.
        places: Indices of the members that are read.
        read: The suffixes of those members, in lower case.
    """

    are_distinct: bool
    places: tuple[int, ...]
    read: tuple[str, ...]

    @classmethod
    def of(cls, suffixes: tuple[str, ...], member_types: frozenset[str]) -> Self:
        """Look at the suffixes of one sample."""
        lowered = [suffix.lower() for suffix in suffixes]
        places = tuple(place for place, suffix in enumerate(lowered) if suffix.rpartition(".")[2] in member_types)
        return cls(len(set(lowered)) == len(lowered), places, tuple(lowered[place] for place in places))


_KeyGroup = tuple[list[Member], list[str]]
"""The members that share a key, and the suffix of each as written in the tar. Named tuples take longer to make."""


def _group(
    index: TarIndex, shard: str, limits: ReadLimits, member_types: frozenset[str]
) -> tuple[tuple[Sample, ...], tuple[Reject, ...]]:
    """Make a sample or a reject of every key.

    Most shards have no fault at all. `is_faultless` finds that out once. Only the other shards are checked sample by
    sample.
    """
    groups, scattered = _group_by_key(index)
    suspect = _suspect_key(index)
    if suspect:
        groups.setdefault(suspect, ([], []))
    unsafe = unsafe_names([member.name for member in index.members])
    are_small = max([member.size for member in index.members], default=0) <= limits.max_member_bytes
    is_faultless = are_small and not (scattered or suspect or unsafe)
    known_suffixes: dict[tuple[str, ...], _Suffixes] = {}
    samples: list[Sample] = []
    rejects: list[Reject] = []
    for key, (members, suffixes_as_written) in groups.items():
        as_written = tuple(suffixes_as_written)
        suffixes = known_suffixes.get(as_written)
        if suffixes is None:
            suffixes = known_suffixes[as_written] = _Suffixes.of(as_written, member_types)
        readable = tuple([members[place] for place in suffixes.places])
        try:
            if not is_faultless:
                _check_names(members, unsafe, is_scattered=key in scattered)
            if not suffixes.are_distinct:
                raise SampleError(RejectReason.DUPLICATE_KEY, "a member comes twice")
            if key == suspect and index.damage is not None:
                raise SampleError(_DAMAGE_REASONS[index.damage], f"{index.damage} at byte {index.end}")
            if not readable:
                raise SampleError(RejectReason.NO_MEMBER)
            if not is_faultless:
                _check_sizes(readable, limits)
        except SampleError as error:
            rejects.append(Reject(key.encode("utf-8", "backslashreplace").decode(), error.reason, error.detail))
        else:
            samples.append(Sample(key, shard, readable, suffixes.read))
    return tuple(samples), tuple(rejects)


def _group_by_key(index: TarIndex) -> tuple[dict[str, _KeyGroup], set[str]]:
    """Return the members of every key, and the keys whose members are not next to each other."""
    groups: dict[str, _KeyGroup] = {}
    scattered: set[str] = set()
    stem, stem_length = "\0", 1  # the last key with its dot; at the start, something that no name begins with
    members: list[Member] = []
    suffixes: list[str] = []
    for member in index.members:
        name = member.name
        suffix = name[stem_length:]
        # A name is split only when its key is not the last one.
        if name[:stem_length] != stem or "/" in suffix:
            key, suffix = split_name(name)
            if not key:
                continue
            if key in groups:
                scattered.add(key)
            stem, stem_length = key + ".", len(key) + 1
            members, suffixes = groups.setdefault(key, ([], []))
        members.append(member)
        suffixes.append(suffix)
    return groups, scattered


def _suspect_key(index: TarIndex) -> str:
    """Return the key that may lack members because of the damage; empty if there is none.

    It is the key of the cut member, or else of the last whole one, because more of its members may have followed.
    """
    if index.damage is None:
        return ""
    names = [index.cut_name or "", *(member.name for member in reversed(index.members))]
    return next((key for key, _ in map(split_name, names) if key), "")


def _check_names(members: list[Member], unsafe: frozenset[str], *, is_scattered: bool) -> None:
    bad = next((member.name for member in members if member.name in unsafe), None)
    if bad is not None:
        raise SampleError(RejectReason.UNSAFE_NAME, repr(bad))
    if is_scattered:
        raise SampleError(RejectReason.DUPLICATE_KEY, "the key appears again after another key")


def _check_sizes(readable: tuple[Member, ...], limits: ReadLimits) -> None:
    for member in readable:
        if member.size > limits.max_member_bytes:
            raise _too_large(member, limits)
