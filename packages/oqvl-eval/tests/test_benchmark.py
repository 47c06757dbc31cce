from __future__ import annotations

import io
import json
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from oqvl_eval import Benchmark, ImageRef, Item, read_benchmark, write_benchmark
from oqvl_eval.benchmark import BENCHMARK_SCHEMA, ROWS_PER_GROUP
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import ConfigError, DataError, ManifestError


def test_items_come_back_as_they_were(benchmark, items):
    assert Benchmark(benchmark).items == tuple(items)
    assert Benchmark(benchmark).task == "colours"


def test_pictures_come_back_byte_for_byte_in_the_order_shown(tmp_path, pictures):
    names = ("red-0.png", "blue-0.png", "red-0.png")
    several = Item("q", "q", (ImageRef(names[0]), "or", ImageRef(names[1]), ImageRef(names[2])), (), "red")
    opened = Benchmark(write_benchmark(tmp_path / "b", "several", [several], pictures))
    assert opened.image_bytes(0) == [pictures[name] for name in names]
    assert opened.items[0].segments == several.segments


def test_read_benchmark_decodes(benchmark, items):
    read = list(read_benchmark(benchmark))
    assert [item for item, _ in read] == items
    assert {(len(images), images[0].mode, images[0].size) for _, images in read} == {(1, "RGB", (8, 6))}
    assert read[0][1][0].getpixel((0, 0)) == (220, 20, 20)


def test_any_item_is_found_across_row_groups(tmp_path, pictures):
    names = list(pictures)
    items = [
        Item(f"q{index}", "c", (ImageRef(names[index % 7]), "?"), (), "x") for index in range(2 * ROWS_PER_GROUP + 5)
    ]
    opened = Benchmark(write_benchmark(tmp_path / "b", "long", items, pictures))
    for row in (len(items) - 1, 0, ROWS_PER_GROUP, ROWS_PER_GROUP - 1, 2 * ROWS_PER_GROUP):
        assert opened.image_bytes(row) == [pictures[names[row % 7]]]


def test_the_columns_are_as_documented(benchmark):
    schema = pq.read_schema(benchmark.path / "items-00000.parquet")
    assert schema.names == BENCHMARK_SCHEMA.names
    assert str(schema.field("images").type) == "list<element: struct<bytes: binary, path: string>>"
    assert [field.name for field in benchmark.manifest.fields] == schema.names


def test_a_shared_picture_is_stored_once(tmp_path):
    noise = bytes(range(256)) * 64
    picture = _png_with_noise(noise)
    items = [Item(f"q{index}", "c", (ImageRef("p.png"), "?"), (), "x") for index in range(ROWS_PER_GROUP)]
    dataset = write_benchmark(tmp_path / "b", "shared", items, {"p.png": picture})
    assert dataset.manifest.num_bytes < 2 * len(picture) + 20_000


def test_the_same_items_give_the_same_bytes(tmp_path, items, pictures):
    first, second = (write_benchmark(tmp_path / name, "colours", items, pictures) for name in "ab")
    assert first.manifest == second.manifest
    files = [dataset.path / "items-00000.parquet" for dataset in (first, second)]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert write_benchmark(tmp_path / "a", "colours", items, pictures).manifest == first.manifest


def test_nothing_else_is_overwritten(benchmark, items, pictures):
    with pytest.raises(ConfigError, match="already holds"):
        write_benchmark(benchmark.path, "colours", items[:-1], pictures)
    recoloured = {**pictures, "red-0.png": pictures["blue-0.png"]}
    with pytest.raises(ConfigError, match="already holds"):
        write_benchmark(benchmark.path, "colours", items, recoloured)


def test_statistics_and_lineage(benchmark):
    assert benchmark.manifest.statistics == {
        "num_clusters": 5,
        "num_categories": 2,
        "num_images": 20,
        "num_multiple_choice": 20,
    }
    assert benchmark.manifest.lineage.tool == "oqvl-eval write_benchmark"


def test_a_large_folder_is_never_held_in_memory(tmp_path, items, pictures):
    class Counting(Mapping):
        alive = 0

        def __getitem__(self, name):
            Counting.alive += 1
            return pictures[name]

        def __iter__(self):
            return iter(pictures)

        def __len__(self):
            return len(pictures)

    write_benchmark(tmp_path / "b", "colours", items, Counting())
    assert Counting.alive == 2 * len(items)  # once to check, once to write


def test_problems_are_named(tmp_path, items, pictures):
    def write(items, pictures=pictures):
        return write_benchmark(tmp_path / "b", "t", items, pictures)

    with pytest.raises(DataError, match="at least one item"):
        write([])
    with pytest.raises(DataError, match="two items have the id 'q00'"):
        write([items[0], items[0]])
    with pytest.raises(DataError, match=r"'q00' shows the picture 'red-0.png', which does not exist"):
        write(items, {})
    with pytest.raises(DataError, match=r"'q00', picture 'red-0.png'"):
        write(items, {**pictures, "red-0.png": pictures["red-0.png"][:40]})
    assert not (tmp_path / "b").exists()


def test_damaged_files_are_named(benchmark, checkpoint):
    path = benchmark.path / "items-00000.parquet"
    data = path.read_bytes()
    path.write_bytes(data[:100])
    with pytest.raises(DataError, match=r"items-00000.parquet is not a readable parquet file"):
        Benchmark(benchmark)
    pq.write_table(pq.read_table(_written(path, data)).drop_columns(["answer"]), path)
    with pytest.raises(DataError, match=r"lacks the columns \['answer'\]"):
        Benchmark(benchmark)
    with pytest.raises(ManifestError, match="of kind checkpoint, expected benchmark"):
        Benchmark.open(checkpoint.path)


def test_a_segment_must_be_text_or_a_picture(benchmark):
    path = benchmark.path / "items-00000.parquet"
    table = pq.read_table(path)
    for bad in ({"text": None, "image": None}, {"text": "x", "image": 0}, {"text": None, "image": 7}):
        rows = table.to_pylist()
        rows[0]["segments"] = [bad]
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
        with pytest.raises(DataError, match="neither a text nor one of 1 pictures"):
            Benchmark(open_dataset(benchmark.path))


def test_metadata_is_json(benchmark):
    row = pq.read_table(benchmark.path / "items-00000.parquet").to_pylist()[0]
    assert json.loads(row["metadata"]) == {"shade": 0}


def _written(path, data):
    path.write_bytes(data)
    return path


def _png_with_noise(noise):
    buffer = io.BytesIO()
    Image.frombytes("L", (128, 128), noise).save(buffer, format="PNG", compress_level=0)
    return buffer.getvalue()
