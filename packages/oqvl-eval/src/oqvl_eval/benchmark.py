"""The canonical benchmark dataset: items in parquet, their pictures inside.

A dataset of kind `benchmark` holds `items-00000.parquet`, `items-00001.parquet`, ... with one row an item:

    column         type                       meaning
    item_id        string                     unique in the dataset
    cluster_id     string                     items of one cluster are not independent (one question's rotations)
    choices        list<string>               options in order, without letters; empty for an open question
    answer         string                     the right option's letter, yes or no, or the expected short answer
    category       string                     the item's row in the table of accuracies; may be empty
    rule           string                     how answers are judged; null: by whether there are choices
    shows_options  bool                       whether the segments show the options already
    metadata       string                     a JSON object with anything else of the source
    segments       list<struct<text, image>>  the question; of a pair exactly one is set, image counts into images
    images         list<struct<bytes, path>>  encoded picture files and their names, as in Hugging Face files

Row groups are small, so that an item's pictures are read without megabytes of its neighbours'; a picture that several
items of a row group share is stored once (parquet's dictionary encoding).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from pydantic import Field

from oqvl_eval.item import ImageRef, Item
from oqvl_eval.version import VERSION
from oqvl_shards.atomic import atomic_open
from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import Dataset, describe_file, open_dataset, write_manifest
from oqvl_shards.errors import DataError
from oqvl_shards.image import decode_image
from oqvl_shards.manifest import Account, BenchmarkDetails, FieldSpec, Kind, Lineage, Manifest
from oqvl_shards.stage_output import finished_output
from oqvl_shards.tar.sample import ReadLimits, SampleError

ROWS_PER_GROUP = 32
ROWS_PER_FILE = 2048
_DICTIONARY_BYTES = 256 << 20  # above any row group's pictures: parquet gives up its dictionary at this size
_LIMITS = ReadLimits(min_image_side=1)

ITEM_SCHEMA = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("cluster_id", pa.string(), nullable=False),
        pa.field("choices", pa.list_(pa.string()), nullable=False),
        pa.field("answer", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("rule", pa.string()),
        pa.field("shows_options", pa.bool_(), nullable=False),
        pa.field("metadata", pa.string(), nullable=False),
    ]
)
"""What an item is judged by; predictions repeat these columns, so they can be scored without the benchmark."""

BENCHMARK_SCHEMA = pa.schema(
    [
        *ITEM_SCHEMA,
        pa.field("segments", pa.list_(pa.struct([("text", pa.string()), ("image", pa.int32())])), nullable=False),
        pa.field("images", pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())])), nullable=False),
    ]
)


class BenchmarkSource(StageConfig):
    """What a benchmark dataset was made of; the configuration in its lineage."""

    task: str = Field(description="name of the task")
    content_sha256: str = Field(description="digest of all items and of the pictures they show")


class Benchmark:
    """A benchmark opened for reading: items in memory, pictures on disk until they are asked for.

    Args:
        dataset: A dataset of kind `benchmark`.

    Raises:
        DataError: When a file lacks a column or holds a malformed item.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._files = [_open_parquet(dataset.shard_path(shard)) for shard in dataset.manifest.shards]
        self._groups = [(file, group) for file in self._files for group in range(file.num_row_groups)]
        self._first_rows: list[int] = []
        self._loaded: tuple[int, list[list[dict[str, Any]]]] | None = None
        items: list[Item] = []
        for file, group in self._groups:
            self._first_rows.append(len(items))
            columns = [*ITEM_SCHEMA.names, "segments", "images.list.element.path"]
            items += [_item_from_row(row) for row in file.read_row_group(group, columns=columns).to_pylist()]
        self.items = tuple(items)

    @classmethod
    def open(cls, directory: Path | str) -> Benchmark:
        """Open the benchmark in `directory`; see `oqvl_shards.dataset.open_dataset` for the errors."""
        return cls(open_dataset(directory, Kind.BENCHMARK))

    @property
    def task(self) -> str:
        """The name of the task."""
        assert isinstance(self.dataset.manifest.details, BenchmarkDetails)
        return self.dataset.manifest.details.task

    def image_bytes(self, row: int) -> list[bytes]:
        """Return the encoded pictures of item `row`, in the order of its segments."""
        group = max(index for index, first in enumerate(self._first_rows) if first <= row)
        if self._loaded is None or self._loaded[0] != group:
            file, group_in_file = self._groups[group]
            self._loaded = (group, file.read_row_group(group_in_file, columns=["images"])["images"].to_pylist())
        images = self._loaded[1][row - self._first_rows[group]]
        return [images[index]["bytes"] for index in self._image_indices(row, images)]

    def images(self, row: int) -> list[Image.Image]:
        """Return the pictures of item `row`, decoded to RGB, in the order of its segments."""
        where = f"item {self.items[row].item_id!r}"
        return [decode_picture(data, where) for data in self.image_bytes(row)]

    def _image_indices(self, row: int, images: Sequence[Mapping[str, Any]]) -> list[int]:
        by_name = {image["path"]: index for index, image in enumerate(images)}
        return [by_name[name] for name in self.items[row].image_names]


def read_benchmark(dataset: Dataset) -> Iterator[tuple[Item, list[Image.Image]]]:
    """Yield every item with its decoded pictures (RGB, in the order of the item's `ImageRef` segments)."""
    benchmark = Benchmark(dataset)
    for row, item in enumerate(benchmark.items):
        yield item, benchmark.images(row)


def write_benchmark(
    directory: Path | str,
    task: str,
    items: Iterable[Item],
    images: Mapping[str, bytes] | None = None,
    *,
    name: str = "",
    tool: str = "oqvl-eval write_benchmark",
    parents: Sequence[Manifest] = (),
) -> Dataset:
    """Write `items` as a dataset of kind `benchmark`; every picture is decoded once, to be sure that it can be.

    Args:
        directory: Where to write; may hold this very benchmark already, and then nothing is done.
        task: The name of the task, e.g. `mmstar`.
        items: The items in the order in which they are to be asked.
        images: The encoded picture files (jpg, png, webp) by the names that the items' `ImageRef` segments use. Any
            mapping does, so that a folder need not be in memory.
        name: The dataset's name; `task` when empty.
        tool: What goes into the lineage as the writer.
        parents: Manifests of the datasets that the items were made from.

    Raises:
        DataError: When an item's name is taken, a picture is missing or unreadable, or there are no items.
        ConfigError: When `directory` holds something else.
    """
    directory, items, images = Path(directory), list(items), images or {}
    content = _check_and_digest(items, images)
    source = BenchmarkSource(task=task, content_sha256=content)
    lineage = Lineage.derive(tool, VERSION, source, parents)
    finished = finished_output(directory, lineage)
    if finished is not None:
        return finished
    directory.mkdir(parents=True, exist_ok=True)
    shards = []
    for number, start in enumerate(range(0, len(items), ROWS_PER_FILE)):
        path = directory / f"items-{number:05d}.parquet"
        rows = items[start : start + ROWS_PER_FILE]
        _write_items(path, rows, images)
        shards.append(describe_file(path, directory, len(rows)))
    manifest = Manifest(
        name=name or task,
        details=BenchmarkDetails(task=task),
        shards=tuple(shards),
        fields=tuple(FieldSpec(name=column.name, dtype=str(column.type)) for column in BENCHMARK_SCHEMA),
        account=Account(num_in=len(items), num_kept=len(items)),
        statistics={
            "num_clusters": len({item.cluster_id for item in items}),
            "num_categories": len({item.category for item in items}),
            "num_images": len({name for item in items for name in item.image_names}),
            "num_multiple_choice": sum(item.scoring_rule == "multiple_choice" for item in items),
        },
        lineage=lineage,
    )
    return write_manifest(directory, manifest)


def decode_picture(data: bytes, where: str) -> Image.Image:
    """Decode an encoded picture to RGB.

    Raises:
        DataError: When it cannot be decoded; the message names `where`. A benchmark never drops an item in silence.
    """
    try:
        return decode_image(data, _LIMITS)
    except SampleError as error:
        raise DataError(f"{where}: {error}", hint="pictures are whole JPEG, PNG or WebP files") from error


def item_to_row(item: Item) -> dict[str, Any]:
    """Return the columns of `ITEM_SCHEMA` for `item`."""
    return {
        "item_id": item.item_id,
        "cluster_id": item.cluster_id,
        "choices": list(item.choices),
        "answer": item.answer,
        "category": item.category,
        "rule": item.rule,
        "shows_options": item.shows_options,
        "metadata": json.dumps(dict(item.metadata), sort_keys=True, ensure_ascii=False, allow_nan=False),
    }


def item_from_row(row: Mapping[str, Any], segments: tuple[str | ImageRef, ...] = ()) -> Item:
    """Return the item of a row of `ITEM_SCHEMA`, with `segments`."""
    return Item(
        item_id=row["item_id"],
        cluster_id=row["cluster_id"],
        segments=segments,
        choices=tuple(row["choices"]),
        answer=row["answer"],
        category=row["category"],
        rule=row["rule"],
        shows_options=row["shows_options"],
        metadata=json.loads(row["metadata"]),
    )


def _check_and_digest(items: Sequence[Item], images: Mapping[str, bytes]) -> str:
    if not items:
        raise DataError("a benchmark needs at least one item, found none")
    digest, image_digests, seen = hashlib.sha256(), dict[str, str](), set[str]()
    for item in items:
        if item.item_id in seen:
            raise DataError(f"two items are named {item.item_id!r}", hint="item_id must be unique in a benchmark")
        seen.add(item.item_id)
        for name in item.image_names:
            if name not in image_digests:
                image_digests[name] = _checked_image_digest(item, name, images)
        segments = [
            {"image": image_digests[segment.name]} if isinstance(segment, ImageRef) else segment
            for segment in item.segments
        ]
        values = {**item_to_row(item), "segments": segments, "images": item.image_names}
        digest.update(json.dumps(values, sort_keys=True).encode())
    return digest.hexdigest()


def _checked_image_digest(item: Item, name: str, images: Mapping[str, bytes]) -> str:
    try:
        data = images[name]
    except KeyError as error:
        raise DataError(f"item {item.item_id!r} shows the picture {name!r}, which was not given") from error
    decode_picture(data, f"item {item.item_id!r}, picture {name!r}")
    return hashlib.sha256(data).hexdigest()


def _write_items(path: Path, items: Sequence[Item], images: Mapping[str, bytes]) -> None:
    with (
        atomic_open(path) as file,
        pq.ParquetWriter(
            file, BENCHMARK_SCHEMA, compression="zstd", dictionary_pagesize_limit=_DICTIONARY_BYTES
        ) as writer,
    ):
        for start in range(0, len(items), ROWS_PER_GROUP):
            rows = [_benchmark_row(item, images) for item in items[start : start + ROWS_PER_GROUP]]
            writer.write_table(pa.Table.from_pylist(rows, schema=BENCHMARK_SCHEMA))


def _benchmark_row(item: Item, images: Mapping[str, bytes]) -> dict[str, Any]:
    names = list(dict.fromkeys(item.image_names))
    segments = [
        {"image": names.index(segment.name)} if isinstance(segment, ImageRef) else {"text": segment}
        for segment in item.segments
    ]
    pictures = [{"bytes": images[name], "path": name} for name in names]
    return {**item_to_row(item), "segments": segments, "images": pictures}


def _item_from_row(row: Mapping[str, Any]) -> Item:
    names = [image["path"] for image in row["images"]]
    if len(set(names)) != len(names):
        raise DataError(f"item {row['item_id']!r} has two pictures of one name: {names}")
    segments: list[str | ImageRef] = []
    for segment in row["segments"]:
        text, image = segment["text"], segment["image"]
        if (text is None) == (image is None) or (image is not None and not 0 <= image < len(names)):
            raise DataError(
                f"item {row['item_id']!r}: segment {segment} is neither text nor one of {len(names)} pictures"
            )
        segments.append(ImageRef(names[image]) if image is not None else text)
    return item_from_row(row, tuple(segments))


def _open_parquet(path: Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path} is not a readable parquet file: {error}", hint="import the benchmark again") from error
    missing = [name for name in BENCHMARK_SCHEMA.names if name not in file.schema_arrow.names]
    if missing:
        raise DataError(f"{path} lacks the columns {missing}", hint="import the benchmark again")
    return file
