from __future__ import annotations

import zipfile

import pytest
import torch
from safetensors.torch import save_file

from oqvl_model.configuration_oqvl import TimmTowerConfig
from oqvl_model.vision import TimmTower, timm_network
from oqvl_model.weights import load_timm
from oqvl_shards.errors import ConfigError

LITE0 = "tf_efficientnet_lite0"


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return timm_network(LITE0)


def test_weights_of_another_code_base_are_taken_in_order(network, tmp_path):
    renamed = {
        f"part{index}.{'num_batches_tracked' if name.endswith('num_batches_tracked') else 'x'}": tensor
        for index, (name, tensor) in enumerate(network.state_dict().items())
    }
    torch.save(renamed, tmp_path / "renamed.pth")
    torch.save(network.state_dict(), tmp_path / "named.pth")
    save_file(network.state_dict(), tmp_path / "named.safetensors")
    expected = network.state_dict()
    for name in ("renamed.pth", "named.pth", "named.safetensors"):
        tower = TimmTower(TimmTowerConfig(feature_stride=16, hidden_size=112))
        load_timm(tower, tmp_path / name)
        assert all(torch.equal(tensor, expected[key]) for key, tensor in tower.network.state_dict().items())


def test_weights_that_do_not_fit_are_refused(network, tmp_path):
    tower = TimmTower(TimmTowerConfig(feature_stride=16, hidden_size=112))
    state = dict(network.state_dict())
    first = next(iter(state))
    for name, content, message in [
        ("short", {k: v for k, v in state.items() if k != first}, "tensors"),
        ("shape", state | {first: torch.zeros(1)}, "shape"),
        ("list", [1, 2], "is not a state dict: found a list"),
        (
            "code",
            {"f": torch.nn.Identity()},
            "found a torch.save file that is damaged or has objects other than tensors",
        ),
    ]:
        torch.save(content, tmp_path / f"{name}.pth")
        with pytest.raises(ConfigError, match=message):
            load_timm(tower, tmp_path / f"{name}.pth")


def test_another_file_is_described_and_nobody_advised_to_run_it(tmp_path):
    tower = TimmTower(TimmTowerConfig(feature_stride=16, hidden_size=112))
    (tmp_path / "text.pth").write_text("version 1 of a pointer to the weights, not the weights")
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "bytes.pth").write_bytes(b"\x80\x04]\x94.")
    (tmp_path / "bytes.safetensors").write_bytes(b"\xff" * 20)
    with zipfile.ZipFile(tmp_path / "archive.pth", "w") as archive:
        archive.writestr("readme.txt", "hello")
    whole = (tmp_path / "archive.pth").read_bytes()
    (tmp_path / "damaged.pth").write_bytes(whole.replace(b"PK\x01\x02", b"PK\x00\x00"))
    (tmp_path / "page.pth").write_text("<!doctype html>\n<p>Not found\n")
    (tmp_path / "folder.pth").mkdir()
    for name, found in [
        (
            "text.pth",
            "found text that starts with 'version 1 of a pointer to the we', expected names and tensors saved",
        ),
        ("empty.pth", "found an empty file"),
        ("bytes.pth", r"found bytes that start with b'\x80\x04]\x94.'"),
        ("bytes.safetensors", "found bytes that start with"),
        ("archive.pth", "found a zip archive of 1 files that torch.save did not write"),
        ("damaged.pth", "found a damaged zip archive"),
        ("page.pth", r"found text that starts with '<!doctype html>\n<p>Not found\n'"),
        ("folder.pth", "found no file"),
    ]:
        with pytest.raises(ConfigError) as caught:
            load_timm(tower, tmp_path / name)
        assert found in caught.value.message
        assert "weights_only" not in str(caught.value)
