from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from oqvl_model.conversion.tensor_files import are_equal, open_model_directory, open_weights
from oqvl_shards.errors import ConfigError

STATE = {"a.b": torch.arange(6.0).reshape(2, 3), "c": torch.ones(4, dtype=torch.bfloat16)}


@pytest.mark.parametrize("name", ["flat.safetensors", "flat.bin", "nested.pt"])
def test_tensors_are_described_and_read(tmp_path, name):
    path = tmp_path / name
    if name == "flat.safetensors":
        save_file(STATE, path)
    else:
        torch.save(STATE if name == "flat.bin" else {"a": {"b": STATE["a.b"]}, "c": STATE["c"]}, path)
    tensors = open_weights(path)
    assert {key: (tensor.shape, tensor.dtype) for key, tensor in tensors.items()} == {
        "a.b": ((2, 3), torch.float32),
        "c": ((4,), torch.bfloat16),
    }
    assert all(torch.equal(tensor.read(), STATE[key]) for key, tensor in tensors.items())


def test_a_directory_may_have_an_index(tmp_path):
    for number, (key, tensor) in enumerate(STATE.items()):
        save_file({key: tensor}, tmp_path / f"part-{number}.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {key: f"part-{n}.safetensors" for n, key in enumerate(STATE)}}))
    tensors = open_model_directory(tmp_path, "source")
    assert all(torch.equal(tensors[key].read(), tensor) for key, tensor in STATE.items())
    index.write_text(json.dumps({"weight_map": {"a": "../part-0.safetensors"}}))
    with pytest.raises(ConfigError, match="not a file of this directory"):
        open_model_directory(tmp_path, "source")
    index.write_text("[]")
    with pytest.raises(ConfigError, match="is not an index"):
        open_model_directory(tmp_path, "source")


def test_a_directory_without_weights_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"source: .* has no weights; expected one of model\.safetensors"):
        open_model_directory(tmp_path, "source")


class Code:
    def __reduce__(self):
        return print, ("executed",)


def test_nothing_is_executed(tmp_path, capsys):
    torch.save({"a": Code()}, tmp_path / "code.pt")
    with pytest.raises(ConfigError, match="objects other than tensors") as caught:
        open_weights(tmp_path / "code.pt")
    assert "weights_only" not in str(caught.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("content", "message"), [({"epoch": 3}, "epoch is a int"), ([torch.ones(1)], "the content is a list")]
)
def test_only_tensors_are_taken(tmp_path, content, message):
    torch.save(content, tmp_path / "state.pt")
    with pytest.raises(ConfigError, match=message):
        open_weights(tmp_path / "state.pt")


@pytest.mark.parametrize("name", ["damaged.safetensors", "damaged.pt"])
def test_a_damaged_file_is_described(tmp_path, name):
    (tmp_path / name).write_bytes(b"\xff" * 20)
    with pytest.raises(ConfigError, match="found bytes that start with"):
        open_weights(tmp_path / name)
    with pytest.raises(ConfigError, match="found no file"):
        open_weights(tmp_path / f"missing-{name}")


def test_equality_is_found_block_by_block(tmp_path):
    left = torch.arange(30.0).reshape(10, 3)
    right = left.clone()
    right[9, 2] += 1
    save_file(
        {"left": left, "same": left.clone(), "right": right, "short": left[:9].clone()}, tmp_path / "x.safetensors"
    )
    tensors = open_weights(tmp_path / "x.safetensors")
    assert are_equal(tensors["left"], tensors["same"], num_rows=4)
    assert not are_equal(tensors["left"], tensors["right"], num_rows=4)
    assert not are_equal(tensors["left"], tensors["short"], num_rows=4)
