from __future__ import annotations

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from oqvl_model.conversion.tensor_stream import write_tensors

STATE = {
    "b": torch.arange(6.0).reshape(2, 3),
    "a.x": torch.randn(5),
    "scalar": torch.tensor(2.5),
    "t": torch.randn(3, 4).T,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_written_is_what_safetensors_reads(tmp_path, dtype):
    shapes = {name: tuple(tensor.shape) for name, tensor in STATE.items()}
    path = tmp_path / "model.safetensors"
    write_tensors(path, shapes, dtype, STATE.__getitem__)
    read = load_file(path)
    assert list(read) == sorted(STATE)
    assert all(torch.equal(read[name], tensor.to(dtype)) for name, tensor in STATE.items())
    assert safe_open(path, framework="pt").metadata() == {"format": "pt"}
    write_tensors(tmp_path / "again", dict(reversed(shapes.items())), dtype, STATE.__getitem__)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_one_tensor_is_held_at_a_time_and_a_failure_leaves_nothing(tmp_path):
    order = []

    def read(name):
        order.append(name)
        if name == "scalar":
            raise OSError("no disk")
        return STATE[name]

    with pytest.raises(OSError, match="no disk"):
        write_tensors(tmp_path / "x", {name: tuple(STATE[name].shape) for name in STATE}, torch.float32, read)
    assert order == ["a.x", "b", "scalar"]
    assert list(tmp_path.iterdir()) == []
