"""Weights are loaded whole and fitting, or refused with a sentence that says what is wrong."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DModel
from safetensors.torch import load_file, save_file

from epimesh.diffusion.autoencoder import KlAutoencoder, SmallAutoencoder, foreground, load_autoencoder
from epimesh.diffusion.patch_autoencoder import PatchAutoencoder
from epimesh.errors import BadWeights, WeightsNotFound

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def saved(fitted: PatchAutoencoder, tmp_path: Path) -> Path:
    fitted.save_pretrained(tmp_path / "patch")
    return tmp_path / "patch"


def tiny_kl() -> AutoencoderKL:
    torch.manual_seed(1)
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    return AutoencoderKL(block_out_channels=(8, 8, 8, 8), norm_num_groups=4, latent_channels=4, **blocks).eval()


def test_a_saved_autoencoder_comes_back_bitwise(saved: Path, fitted: PatchAutoencoder, images: torch.Tensor) -> None:
    loaded = load_autoencoder(str(saved))
    assert isinstance(loaded, SmallAutoencoder)
    assert (loaded.latent_space, loaded.latent_channels, loaded.factor) == ("patch", 6, 8)
    assert torch.equal(loaded.encode(images), fitted.encode(images))
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())


def test_weights_in_half_precision_are_used_in_full_precision(fitted: PatchAutoencoder, tmp_path: Path) -> None:
    fitted.half().save_pretrained(tmp_path / "half")
    assert load_autoencoder(str(tmp_path / "half")).encode(torch.rand(1, 4, 16, 16)).dtype == torch.float32


def test_an_autoencoder_of_stable_diffusion_is_used_as_diffusers_does(tmp_path: Path) -> None:
    theirs = tiny_kl()
    theirs.save_pretrained(tmp_path / "kl")
    ours = load_autoencoder(str(tmp_path / "kl"))
    assert isinstance(ours, KlAutoencoder)
    image = torch.rand(2, 4, 32, 32)
    latents = ours.encode(image)
    assert latents.shape == (2, 4, 4, 4)
    with torch.no_grad():
        mode = theirs.encode(image[:, :3] * 2 - 1).latent_dist.mean
        torch.testing.assert_close(latents, mode * theirs.config.scaling_factor)
        decoded = theirs.decode(mode).sample / 2 + 0.5
    torch.testing.assert_close(ours.decode(latents)[:, :3], decoded.clamp(0, 1))
    assert torch.equal(ours.mirrored(latents), ours.encode(ours.decode(latents).flip(-1)))


def test_white_is_empty_and_any_colour_is_not() -> None:
    rgb = torch.ones(1, 3, 1, 3)
    rgb[0, :, 0, 1] = torch.tensor([1.0, 0.9, 1.0])
    rgb[0, :, 0, 2] = 0.98  # the noise of a decoder
    assert foreground(rgb).flatten().tolist() == [0, 1, 0]


def test_missing_weights_are_told_with_what_there_is() -> None:
    with pytest.raises(WeightsNotFound, match=r"No weights at 'nowhere'[^$]*bundled:mean-object"):
        load_autoencoder("nowhere")


def test_a_folder_without_a_configuration_is_refused(saved: Path) -> None:
    (saved / "config.json").unlink()
    with pytest.raises(BadWeights, match=r"no usable config\.json"):
        load_autoencoder(str(saved))


def test_a_truncated_file_is_refused(saved: Path) -> None:
    content = (saved / WEIGHTS).read_bytes()
    (saved / WEIGHTS).write_bytes(content[: len(content) // 2])
    with pytest.raises(BadWeights, match="damaged or belongs to another configuration"):
        load_autoencoder(str(saved))


def test_a_missing_tensor_is_named(saved: Path) -> None:
    tensors = load_file(saved / WEIGHTS)
    del tensors["scale"]
    save_file(tensors, saved / WEIGHTS)
    with pytest.raises(BadWeights, match="scale"):
        load_autoencoder(str(saved))


def test_weights_of_another_configuration_are_refused(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({**config, "latent_channels": 9}))
    with pytest.raises(BadWeights, match="does not fit a PatchAutoencoder"):
        load_autoencoder(str(saved))


def test_a_network_that_is_no_autoencoder_is_refused_by_its_name(tmp_path: Path) -> None:
    blocks = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}
    unet = UNet2DModel(sample_size=8, block_out_channels=(4,), norm_num_groups=2, layers_per_block=1, **blocks)
    unet.save_pretrained(tmp_path / "unet")
    with pytest.raises(BadWeights, match="holds a UNet2DModel"):
        load_autoencoder(str(tmp_path / "unet"))


def test_a_folder_without_weights_is_refused(saved: Path) -> None:
    (saved / WEIGHTS).unlink()
    with pytest.raises(BadWeights, match="0 safetensors files"):
        load_autoencoder(str(saved))
