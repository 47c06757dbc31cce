from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_shards.errors import DataError
from oqvl_shards.packed.record import IGNORE_INDEX, PackRecord, TrainingSequence


def test_expand_repeats_placeholders_and_keeps_documents_apart(record: PackRecord) -> None:
    sequence = record.expand()
    assert sequence.input_ids.tolist() == [5, 99, 99, 99, 6, 7, 8, 9]
    # The first token of the second document (8) is a target as stored, and must not be predicted from the first one.
    assert sequence.labels.tolist() == [*[IGNORE_INDEX] * 4, 6, 7, IGNORE_INDEX, 9]
    assert sequence.position_ids.tolist() == [0, 1, 2, 3, 4, 5, 0, 1]
    assert sequence.cu_seqlens.tolist() == [0, 6, 8]
    assert record.num_tokens == 8


@given(data=st.data())
def test_expand_keeps_its_invariants(records: st.SearchStrategy[PackRecord], data: st.DataObject) -> None:
    record = data.draw(records)
    sequence = record.expand()
    bounds = sequence.cu_seqlens.tolist()
    assert len(sequence.input_ids) == len(sequence.labels) == len(sequence.position_ids) == record.num_tokens
    assert bounds[0] == 0
    assert bounds[-1] == record.num_tokens
    assert len(bounds) == len(record.document_keys) + 1

    num_visual = int(record.image_tokens.sum())
    assert int((sequence.input_ids == 99).sum()) == num_visual
    assert not np.isin(sequence.labels, [99]).any()
    labelled = sequence.labels != IGNORE_INDEX
    assert (sequence.labels[labelled] == sequence.input_ids[labelled]).all()
    assert not labelled[bounds[:-1]].any()

    stored_start = 0
    for start, end, length in zip(bounds, bounds[1:], record.document_lengths.tolist(), strict=False):
        assert sequence.position_ids[start:end].tolist() == list(range(end - start))
        document = slice(stored_start, stored_start + length)
        expected = [
            token for token in record.input_ids[document].tolist() for _ in range(3 if token == 99 else 1)
        ]  # three visual tokens an image
        assert sequence.input_ids[start:end].tolist() == expected
        # As stored, but for the document's first token.
        num_targets = int(record.is_target[document].sum()) - int(record.is_target[stored_start])
        assert int(labelled[start:end].sum()) == num_targets
        stored_start += length


@given(data=st.data(), number=st.integers(1, 4))
def test_concatenated_sequences_keep_their_documents(
    records: st.SearchStrategy[PackRecord], data: st.DataObject, number: int
) -> None:
    sequences = [data.draw(records).expand() for _ in range(number)]
    joined = TrainingSequence.concatenate(sequences)
    offset = 0
    bounds = [0]
    for sequence in sequences:
        part = slice(offset, offset + len(sequence.input_ids))
        for name in ("input_ids", "labels", "position_ids"):
            assert (getattr(joined, name)[part] == getattr(sequence, name)).all()
        bounds += (sequence.cu_seqlens[1:] + offset).tolist()
        offset += len(sequence.input_ids)
    assert joined.cu_seqlens.tolist() == bounds
    assert joined.cu_seqlens.dtype == np.int32


def int32(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int32)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"is_target": np.zeros(5, dtype=bool)}, "is_target and input_ids differ in length"),
        ({"document_lengths": int32(4, 3)}, "document_lengths do not add up"),
        ({"document_lengths": int32(7, -1)}, "a document is empty"),
        ({"document_keys": ("a",)}, "document_keys and document_lengths differ"),
        ({"image_tokens": int32(3, 3)}, "image_tokens and image_positions differ"),
        ({"image_types": ()}, "image_types and image_positions differ"),
        ({"image_tokens": int32(0)}, "image_tokens holds a count below one"),
        (
            {"image_positions": int32(1, 1), "image_tokens": int32(3, 3), "image_types": ("png", "png")},
            "image_positions do not ascend",
        ),
        ({"image_positions": int32(6)}, "an image position is outside"),
        ({"image_positions": int32(-1)}, "an image position is outside"),
        ({"image_positions": int32(2)}, "an image placeholder is marked as a target"),
    ],
)
def test_parts_that_do_not_fit_together_are_named(record: PackRecord, change: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError, match=f"somewhere: {problem}"):
        replace(record, **change).check("somewhere")
