"""The benchmark dataset: parquet files with the items and their pictures.

A dataset of kind `benchmark` consists of `items-00000.parquet`, `items-00001.parquet`, ... with one row per item:

    column         type                       meaning
    item_id        string                     unique in the dataset
    cluster_id     string                     items of one cluster are not independent (one question's rotations)
    choices        list<string>               the options in order, without letters; empty for an open question
    answer         string                     the right option's letter, yes or no, or the expected short answer
    category       string                     the row of the accuracy table that the item counts in; may be empty
    rule           string                     how answers are judged; null: depends on whether there are choices
    shows_options  bool                       whether the segments already show the options
    metadata       string                     a JSON object with anything else from the source
    segments       list<struct<text, image>>  the question; each segment has either a text or an index into images
    images         list<struct<bytes, path>>  encoded picture files and their names, as in Hugging Face files

Row groups are small: reading an item's pictures does not read megabytes of other items' pictures. A picture that
several items of a row group share is stored once, thanks to parquet's dictionary encoding.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from pydantic import Field

from oqvl_eval.item import ImageRef, Item
from oqvl_shards.atomic import atomic_open
from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import Dataset, describe_file, open_dataset
from oqvl_shards.errors import DataError
from oqvl_shards.image import decode_image
from oqvl_shards.manifest import Account, BenchmarkDetails, FieldSpec, Kind, Manifest
from oqvl_shards.stage_output import StageOutput, stage_output
from oqvl_shards.tar.sample import ReadLimits, SampleError

ROWS_PER_GROUP = 32
ROWS_PER_FILE = 2048
_DICTIONARY_BYTES = 256 << 20  # parquet gives up its dictionary at this size, so it is above any row group's pictures
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
"""The columns that judging needs. Predictions repeat them, so they can be scored without the benchmark."""

BENCHMARK_SCHEMA = pa.schema(
    [
        *ITEM_SCHEMA,
        pa.field("segments", pa.list_(pa.struct([("text", pa.string()), ("image", pa.int32())])), nullable=False),
        pa.field("images", pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())])), nullable=False),
    ]
)


class _Content(StageConfig):
    """What decides the bytes of a benchmark dataset: the configuration in its lineage."""

    task: str = Field(description="name of the task")
    content_sha256: str = Field(description="digest of all items and of the pictures that they show")


class Benchmark:
    """A benchmark opened for reading. Items are in memory; pictures stay on disk until they are read.

    Args:
        dataset: A dataset of kind `benchmark`.

    Raises:
        DataError: If a file lacks a column or has a malformed item.
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
        """Open the benchmark at `directory`; see `oqvl_shards.dataset.open_dataset` for the errors."""
        return cls(open_dataset(directory, Kind.BENCHMARK))

    @property
    def task(self) -> str:
        """The name of the task."""
        assert isinstance(self.dataset.manifest.details, BenchmarkDetails)
        return self.dataset.manifest.details.task

    def image_bytes(self, row: int) -> list[bytes]:
        """Return the encoded pictures of the item at `row`, in the order of its segments."""
        group = max(index for index, first in enumerate(self._first_rows) if first <= row)
        if self._loaded is None or self._loaded[0] != group:
            file, group_in_file = self._groups[group]
            self._loaded = (group, file.read_row_group(group_in_file, columns=["images"])["images"].to_pylist())
        images = self._loaded[1][row - self._first_rows[group]]
        return [images[index]["bytes"] for index in self._image_indices(row, images)]

    def images(self, row: int) -> list[Image.Image]:
        """Return the pictures of the item at `row`, decoded to RGB, in the order of its segments."""
        where = f"item {self.items[row].item_id!r}"
        return [decode_picture(data, where) for data in self.image_bytes(row)]

    def _image_indices(self, row: int, images: Sequence[Mapping[str, Any]]) -> list[int]:
        index_of = {image["path"]: index for index, image in enumerate(images)}
        return [index_of[name] for name in self.items[row].image_names]


def read_benchmark(dataset: Dataset) -> Iterator[tuple[Item, list[Image.Image]]]:
    """Yield every item with its decoded pictures: RGB, in the order of the item's `ImageRef` segments."""
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
    """Write `items` as a dataset of kind `benchmark`.

    Every picture is decoded once, to make sure that it can be.

    Args:
        directory: The directory to write to. If it already has this very benchmark, nothing is done.
        task: The name of the task, e.g. `mmstar`.
        items: The items, in the order in which a model is asked.
        images: The encoded picture files (jpg, png, webp), by the names that the items' `ImageRef` segments use. Any
            mapping works, so the pictures need not be in memory.
        name: The dataset's name. `task` if empty.
        tool: The writer's name in the lineage.
        parents: Manifests of the datasets that the items were made from.

    Raises:
        DataError: If two items have the same id, a picture is missing or unreadable, or there are no items.
        ConfigError: If `directory` holds something else, or another run is writing it.
    """
    items, images = list(items), images or {}
    content = _Content(task=task, content_sha256=_check_and_digest(items, images))
    with stage_output(tool, directory, content, parents=parents, version=version("oqvl-eval")) as output:
        if output.dataset is None:
            _write_benchmark(output, items, images, task, name)
    return output.finished()


def _write_benchmark(
    output: StageOutput, items: Sequence[Item], images: Mapping[str, bytes], task: str, name: str
) -> None:
    """Write the items' files, then the manifest over them."""
    shards = []
    for number, start in enumerate(range(0, len(items), ROWS_PER_FILE)):
        path = output.directory / f"items-{number:05d}.parquet"
        file_items = items[start : start + ROWS_PER_FILE]
        _write_items(path, file_items, images)
        shards.append(describe_file(path, output.directory, len(file_items)))
    output.finish(
        name=name or task,
        details=BenchmarkDetails(task=task),
        shards=shards,
        fields=[FieldSpec(name=column.name, dtype=str(column.type)) for column in BENCHMARK_SCHEMA],
        account=Account(num_in=len(items), num_kept=len(items)),
        statistics={
            "num_clusters": len({item.cluster_id for item in items}),
            "num_categories": len({item.category for item in items}),
            "num_images": len({name for item in items for name in item.image_names}),
            "num_multiple_choice": sum(item.scoring_rule == "multiple_choice" for item in items),
        },
    )


def decode_picture(data: bytes, where: str) -> Image.Image:
    """Decode an encoded picture to RGB.

    Raises:
        DataError: If it cannot be decoded; the message names `where`. A benchmark never drops an item silently.
    """
    try:
        return decode_image(data, _LIMITS)
    except SampleError as error:
        raise DataError(f"{where}: {error}", hint="pictures must be whole JPEG, PNG or WebP files") from error


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
    """Return the item of a row with the columns of `ITEM_SCHEMA`, and give it `segments`."""
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
    """Return the sha256 of the items and of the pictures that they show, and check all of them on the way.

    Raises:
        DataError: If two items have the same id, a picture is missing or unreadable, or there are no items.
    """
    if not items:
        raise DataError("a benchmark needs at least one item, found none", hint="check the source of the items")
    digest, image_digests, seen = hashlib.sha256(), dict[str, str](), set[str]()
    for item in items:
        if item.item_id in seen:
            raise DataError(f"two items have the id {item.item_id!r}", hint="item_id must be unique in a benchmark")
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
        raise DataError(
            f"item {item.item_id!r} shows the picture {name!r}, which does not exist",
            hint="check the picture's name, and the folder that it is relative to",
        ) from error
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
            rows = [_row_with_pictures(item, images) for item in items[start : start + ROWS_PER_GROUP]]
            writer.write_table(pa.Table.from_pylist(rows, schema=BENCHMARK_SCHEMA))


def _row_with_pictures(item: Item, images: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the columns of `BENCHMARK_SCHEMA` for `item`."""
    names = list(dict.fromkeys(item.image_names))
    segments = [
        {"image": names.index(segment.name)} if isinstance(segment, ImageRef) else {"text": segment}
        for segment in item.segments
    ]
    pictures = [{"bytes": images[name], "path": name} for name in names]
    return {**item_to_row(item), "segments": segments, "images": pictures}


def _item_from_row(row: Mapping[str, Any]) -> Item:
    """Return the item of a row with the columns of `BENCHMARK_SCHEMA`, its segments checked."""
    names = [image["path"] for image in row["images"]]
    if len(set(names)) != len(names):
        raise DataError(
            f"item {row['item_id']!r} has two pictures with the same name: {names}", hint="import the benchmark again"
        )
    segments: list[str | ImageRef] = []
    for segment in row["segments"]:
        text, image = segment["text"], segment["image"]
        if (text is None) == (image is None) or (image is not None and not 0 <= image < len(names)):
            raise DataError(
                f"item {row['item_id']!r}: segment {segment} is neither a text nor one of {len(names)} pictures",
                hint="import the benchmark again",
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
