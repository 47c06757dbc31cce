from __future__ import annotations

from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from oqvl_eval import Item
from oqvl_eval.predictions import Candidate, Prediction, is_finished_chunk, read_chunk, write_chunk
from oqvl_shards.errors import ConfigError, DataError

STEP, OTHER_STEP = "1" * 64, "2" * 64
ITEM = Item("q", "c", (), ("x", "y"), "B", "cat", None, True, {"n": [1, {"deep": None}]})
GENERATED = Prediction(ITEM, " B\u2028\n", (), "ab")
SCORED = Prediction(replace(ITEM, item_id="r"), None, (Candidate(0, " A", -1.5, 1), Candidate(1, "B", -0.25, 2)), "cd")


@pytest.fixture
def chunk(tmp_path):
    write_chunk(tmp_path / "chunk.parquet", [GENERATED, SCORED], STEP)
    return tmp_path / "chunk.parquet"


def test_predictions_come_back_as_they_were(chunk):
    assert read_chunk(chunk) == [GENERATED, SCORED]


def test_a_finished_chunk_is_known_by_its_items_and_its_evaluation(chunk, tmp_path):
    items = [GENERATED.item, replace(SCORED.item, segments=("shown",))]
    assert is_finished_chunk(chunk, items, STEP)
    assert not is_finished_chunk(tmp_path / "none.parquet", items, STEP)
    for other_items, step in ((items, OTHER_STEP), (items[:1], STEP)):
        with pytest.raises(ConfigError, match="left by an unfinished evaluation"):
            is_finished_chunk(chunk, other_items, step)


def test_a_missing_column_is_named(chunk):
    pq.write_table(pq.read_table(chunk).drop_columns(["output"]), chunk)
    with pytest.raises(DataError, match=r"lacks the columns \['output'\]"):
        read_chunk(chunk)
