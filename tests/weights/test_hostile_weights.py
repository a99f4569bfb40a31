"""Weights of strangers: what a config.json or an ONNX file asks for is held against what is there, first."""

import json
import shutil
from pathlib import Path

import pytest

from epimesh import weights
from epimesh.decoders import VaeDecoder
from epimesh.errors import BadWeights
from epimesh.stages.read.saliency import salient_mask


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


def test_an_onnx_file_without_weights_does_not_run(tmp_path: Path) -> None:
    import torch

    (tmp_path / "bomb.onnx").write_bytes(bytes(300))
    with pytest.raises(BadWeights, match="bytes"):
        salient_mask(torch.rand(3, 32, 32), tmp_path / "bomb.onnx")
