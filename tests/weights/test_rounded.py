"""Weights in eight bits load as any others, and nearly as they were."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from epimesh.errors import BadWeights
from epimesh.stages.elevation.network import ElevationNetwork, load_elevation_network
from epimesh.weights.rounded import STEP, save_rounded


@pytest.fixture
def network() -> ElevationNetwork:
    torch.manual_seed(0)
    return ElevationNetwork((8, 8, 8, 8), hidden=8).eval()


def test_rounded_weights_are_within_half_a_step_and_the_rest_is_exact(
    network: ElevationNetwork, tmp_path: Path
) -> None:
    save_rounded(network, tmp_path)
    found = load_elevation_network(str(tmp_path)).state_dict()
    for name, true in network.state_dict().items():
        rows = true.reshape(len(true), -1)
        step = rows.abs().amax(1, keepdim=True) / 127 if true.dim() > 1 else rows.abs() * 2e-3
        assert ((found[name].reshape_as(rows) - rows).abs() <= 0.51 * step + rows.abs() * 1e-3 + 1e-7).all(), name


def test_a_rounded_file_without_a_step_is_refused(network: ElevationNetwork, tmp_path: Path) -> None:
    save_rounded(network, tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    stored = load_file(file)
    del stored["answer.0.weight" + STEP]
    save_file(stored, file)
    with pytest.raises(BadWeights, match=r"answer.0.weight"):
        load_elevation_network(str(tmp_path))
