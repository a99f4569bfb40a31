"""The reference outputs of SyncDreamer at reduced sizes, and our networks with the same weights."""

import json
import os
from pathlib import Path

import pytest
import torch
from reference import Oracle, Ours
from safetensors.torch import load_file

from epimesh.conversion.convert import Unstated, plan_syncdreamer, write
from epimesh.diffusion.autoencoder import load_kl_autoencoder
from epimesh.stages.shared.photo_token import PhotoToken
from epimesh.stages.syncdreamer.denoiser import JointDenoiser
from epimesh.stages.syncdreamer.unet import DepthUNet
from epimesh.stages.syncdreamer.volume import SpatialVolume
from epimesh.weights.loading import load_image_encoder, load_part

ORACLES = Path(os.environ.get("EPIMESH_ORACLES", Path(__file__).parents[4] / "shared" / "oracles"))


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
