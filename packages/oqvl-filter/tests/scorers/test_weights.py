from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter.scorers.weights import digest_directory, digest_file, digest_weights


def test_a_file_is_named_by_its_bytes(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"weights")
    assert digest_file(tmp_path / "a") == hashlib.sha256(b"weights").hexdigest()


def test_a_directory_is_named_by_its_files_and_not_by_its_place(tmp_path: Path):
    for place in ("one", "other"):
        (tmp_path / place / "sub").mkdir(parents=True)
        (tmp_path / place / "sub" / "weights").write_bytes(b"w")
    (tmp_path / "other" / "manifest.json").write_text("{}")
    (tmp_path / "other" / ".cache").write_text("x")
    first = digest_directory(tmp_path / "one")
    assert digest_directory(tmp_path / "other") == first
    (tmp_path / "other" / "sub" / "weights").rename(tmp_path / "other" / "sub" / "renamed")
    assert digest_directory(tmp_path / "other") != first


def test_tensors_are_named_by_name_type_and_value():
    torch.manual_seed(0)
    model = torch.nn.Linear(2, 2)
    first = digest_weights(model)
    assert digest_weights(model) == first
    assert digest_weights(model.double()) != first
    with torch.no_grad():
        model.float().weight[0, 0] += 1
    assert digest_weights(model) != first


@given(st.binary(min_size=1, max_size=40), st.integers(0, 319))
def test_one_bit_is_another_file_and_another_directory(tmp_path_factory, content: bytes, bit: int):
    directory = tmp_path_factory.mktemp("weights")
    (directory / "w").write_bytes(content)
    before = digest_file(directory / "w"), digest_directory(directory)
    changed = bytearray(content)
    changed[bit // 8 % len(content)] ^= 1 << bit % 8
    (directory / "w").write_bytes(changed)
    after = digest_file(directory / "w"), digest_directory(directory)
    assert all(one != other for one, other in zip(before, after, strict=True))


@given(st.integers(0, 5), st.integers(0, 31))
def test_one_bit_of_one_weight_is_another_model(place: int, bit: int):
    torch.manual_seed(0)
    model = torch.nn.Linear(2, 2)
    before = digest_weights(model)
    flat = model.weight if place < 4 else model.bias
    with torch.no_grad():
        flat.view(-1).view(torch.int32)[place % 4 % flat.numel()] ^= 1 << bit if bit < 31 else -(1 << 31)
    assert digest_weights(model) != before
