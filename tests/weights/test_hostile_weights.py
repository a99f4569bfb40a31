"""Weights of strangers: what a config.json or an ONNX file asks for is held against what is there, first."""

import json
import math
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from epimesh import weights
from epimesh.decoders import VaeDecoder
from epimesh.errors import BadWeights
from epimesh.stages.read.saliency import salient_mask
from epimesh.stages.syncdreamer.weight_streaming import Streamed
from epimesh.weights.limits import finite


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(weights.resolve("bundled:patch-vae"), tmp_path / "vae"))


@pytest.mark.parametrize("value", [10**9, 10**400, -(10**9), 20_000])
@pytest.mark.parametrize("key", ["latent_channels", "blocks"])
def test_a_configuration_that_its_tensors_do_not_bear_out_is_refused_at_once(
    folder: Path, key: str, value: int
) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(BadWeights, match=r"config\.json|cannot be read"):
        _ = VaeDecoder(weights=str(folder)).autoencoder


@pytest.mark.parametrize("content", ["", "null", "[]", "{}", "[" * 100_000, '{"_class_name": 3}'])
def test_a_configuration_that_is_none_is_refused(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(BadWeights):
        _ = VaeDecoder(weights=str(folder)).autoencoder


def test_a_folder_in_the_place_of_a_file_is_refused(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()
    with pytest.raises(BadWeights, match=r"config.json"):
        _ = VaeDecoder(weights=str(folder)).autoencoder


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_with_a_number_that_is_not_finite_are_refused_by_name(folder: Path, value: float) -> None:
    file = folder / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    name = sorted(tensors)[-1]
    tensors[name].view(-1)[0] = value
    save_file(tensors, file)
    with pytest.raises(BadWeights, match=f"1 of the .* numbers of {re.escape(name)} are NaN or infinite"):
        _ = VaeDecoder(weights=str(folder)).autoencoder


def test_large_but_finite_weights_are_read(tmp_path: Path) -> None:
    large = torch.full((4,), 3e38)  # their sum is infinite, they are not
    assert finite(large, "large", tmp_path) is large


def test_streamed_weights_are_refused_when_the_layer_comes(tmp_path: Path) -> None:
    with torch.device("meta"):
        network = torch.nn.Sequential(torch.nn.Linear(2, 2))
    save_file({"0.weight": torch.full((2, 2), torch.nan), "0.bias": torch.zeros(2)}, tmp_path / "model.safetensors")
    with (
        pytest.raises(BadWeights, match=r"4 of the 4 numbers of 0\.weight"),
        Streamed(network, tmp_path / "model.safetensors")(network[0]),
    ):
        pass


def test_an_onnx_file_without_weights_does_not_run(tmp_path: Path) -> None:
    (tmp_path / "bomb.onnx").write_bytes(bytes(300))
    with pytest.raises(BadWeights, match="bytes"):
        salient_mask(torch.rand(3, 32, 32), tmp_path / "bomb.onnx")
