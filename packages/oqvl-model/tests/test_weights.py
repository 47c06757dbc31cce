from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from oqvl_model.configuration import TimmTowerConfig
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
        ("list", [1, 2], "no state dict"),
        ("code", {"f": torch.nn.Identity()}, "cannot be read"),
    ]:
        torch.save(content, tmp_path / f"{name}.pth")
        with pytest.raises(ConfigError, match=message):
            load_timm(tower, tmp_path / f"{name}.pth")
