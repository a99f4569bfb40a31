"""The reference outputs of SyncDreamer at reduced sizes, and our networks with the same weights."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from epimesh.conversion.convert import Unstated, plan_syncdreamer, write
from epimesh.stages.syncdreamer.denoiser import Conditions, JointDenoiser
from epimesh.stages.syncdreamer.unet import DepthUNet
from epimesh.stages.syncdreamer.volume import SpatialVolume
from epimesh.stages.zero123.published_parts import load_image_encoder, load_kl_autoencoder, load_part
from epimesh.stages.zero123.published_photo import PhotoToken, clip_pixels

ORACLES = Path(os.environ.get("EPIMESH_ORACLES", Path(__file__).parents[4] / "shared" / "oracles"))


def relative_error(found: Tensor, expected: Tensor) -> float:
    """The largest difference over the largest expected value."""
    assert found.shape == expected.shape
    return float((found.to(expected.dtype) - expected).abs().max() / expected.abs().max())


@dataclass(frozen=True, eq=False)
class Oracle:
    folder: Path
    config: dict[str, Any]
    given: dict[str, Tensor]
    expected: dict[str, Tensor]

    def error(self, name: str, found: Tensor) -> float:
        return relative_error(found, self.expected[name])


@dataclass(frozen=True, eq=False)
class Ours:
    folder: Path
    denoiser: JointDenoiser
    token: PhotoToken
    encoder: Any
    vae: Any

    def conditions(self, oracle: Oracle) -> Conditions:
        """From the stored latents of the photo, so that only the token comes from our own networks."""
        view = oracle.expected["v_embed"]
        embedding = self.encoder(clip_pixels(oracle.given["image_bchw"])).image_embeds
        tokens = torch.stack([self.token(embedding, view[:, number]) for number in range(view.shape[1])], dim=1)
        scaling = float(oracle.config["vae"]["scale_factor"])
        return Conditions(oracle.expected["vae.x_input_scaled"] / scaling, tokens, view)


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    folder = ORACLES / "syncdreamer"
    if not folder.is_dir():
        pytest.skip(f"no reference outputs at {folder}; set EPIMESH_ORACLES to the folder that holds syncdreamer/")
    config = json.loads((folder / "config.json").read_text())
    return Oracle(folder, config, load_file(folder / "inputs.safetensors"), load_file(folder / "outputs.safetensors"))


@pytest.fixture(scope="session")
def ours(oracle: Oracle, tmp_path_factory: pytest.TempPathFactory) -> Ours:
    """Converted as a user would, then loaded as a stage would."""
    config = oracle.config
    unstated = Unstated(
        heads=config["num_heads"],
        latent_size=config["image_size"] // 8,
        volume_side=config["V"],
        depths=config["D"],
        scaling=config["vae"]["scale_factor"],
        half_side=config["spatial_volume_length"],
        half_depth=config["frustum_volume_length"],
    )
    tensors = load_file(oracle.folder / "weights.safetensors")
    folder = tmp_path_factory.mktemp("converted") / "syncdreamer"
    write(plan_syncdreamer(tensors, "oracle", unstated), tensors, folder, "", torch.float32)
    denoiser = JointDenoiser(load_part(DepthUNet, folder / "unet"), load_part(SpatialVolume, folder / "volume"))
    return Ours(
        folder,
        denoiser.eval().requires_grad_(False),
        load_part(PhotoToken, folder / "photo_token"),
        load_image_encoder(folder / "image_encoder"),
        load_kl_autoencoder(folder / "vae").network,
    )
