"""Every generator that Zero-to-Hero can steer, with small weights and attention that has something to say."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from published_folders import TOKEN, save_shared_parts
from torch import Tensor

from epimesh.diffusion.attention_control.controller import Layers
from epimesh.diffusion.attention_control.mutual import MutualSelfAttention
from epimesh.diffusion.patch_autoencoder import PatchAutoencoder
from epimesh.diffusion.sampler import Resampling
from epimesh.photo import Photo
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.pipeline.parser import pipeline_from
from epimesh.runtime import Runtime
from epimesh.stages.coarse_prior.network import RingRegressor
from epimesh.stages.shared.view_denoiser import ViewDenoiser
from epimesh.stages.shared.zero_to_hero import Part, ZeroToHero
from epimesh.stages.syncdreamer.denoiser import JointDenoiser
from epimesh.stages.syncdreamer.small_network import joint_from_views
from epimesh.stages.syncdreamer.small_stage import SmallSyncDreamer
from epimesh.stages.syncdreamer.stage import SyncDreamer
from epimesh.stages.syncdreamer.unet import DepthUNet, zero123_unet_config
from epimesh.stages.syncdreamer.volume import SpatialVolume
from epimesh.stages.zero123.small_network import small_scheduler, small_view_denoiser
from epimesh.stages.zero123.small_stage import SmallZero123
from epimesh.stages.zero123.stage import Zero123

CPU = Runtime("cpu")
Generator = SmallZero123 | SmallSyncDreamer | Zero123 | SyncDreamer
KINDS = ("small", "small joint", "published", "joint")
DECODER = MutualSelfAttention(layers=Layers(inside=("up_blocks",), resolutions=(8, 4)))
PARTS: tuple[Part, ...] = ("hourglass", "resampling", "filtering", "mutual")


def used(*parts: Part, **settings: Any) -> ZeroToHero:
    """These parts, with two passes, and mutual attention in the layers that the tiny models have."""
    return ZeroToHero(use=parts, **{"mutual": DECODER, "resampling": Resampling(passes=2), **settings})


def generator(folder: Path, kind: str) -> Generator:
    """Five steps, of which 1 or 2 are resampled and 2 remembered, and noise added in each."""
    small = {"prior": str(folder / "prior"), "autoencoder": str(folder / "vae"), "start": 1000, "guidance": 1.5}
    found: dict[str, Callable[[], Generator]] = {
        "small": lambda: SmallZero123(weights=str(folder / "small"), **small, steps=5, eta=1.0),  # type: ignore[arg-type]
        "small joint": lambda: SmallSyncDreamer(weights=str(folder / "small joint"), **small, steps=5, eta=1.0),  # type: ignore[arg-type]
        "published": lambda: Zero123(weights=str(folder / "published"), views=3, steps=5, skip_noisiest=False),
        "joint": lambda: SyncDreamer(weights=str(folder / "joint"), steps=5),
    }
    return found[kind]()


def of_small(weights: Path, *overrides: str) -> SmallZero123:
    """The stage of the preset of the small models, with tiny weights."""
    folders = {"weights": "small", "prior": "prior", "autoencoder": "vae"}
    named = [f"--views.{name}={weights / folder}" for name, folder in folders.items()]
    found = pipeline_from(ImageTo3D, ["--preset=zero123-small-hero", *named, *overrides]).views
    assert isinstance(found, SmallZero123)
    return found


def with_hero(stage: Generator, hero: ZeroToHero) -> Generator:
    """The stage under these settings."""
    return replace(stage, hero=hero)


def save_all(folder: Path) -> None:
    """The weights of every kind."""
    torch.manual_seed(0)
    PatchAutoencoder(latent_channels=4, widths=(8, 8, 8), blocks=1).save_pretrained(folder / "vae")
    RingRegressor(latent_channels=4, codes=6, width=16, hidden=16, blocks=1).save_pretrained(folder / "prior")
    small_denoiser().save(folder / "small", small_scheduler())
    save_small_joint(folder / "small joint")
    save_published(folder / "published", size=8, heads=2)
    save_joint(folder / "joint")


def small_denoiser(largest_time: int = 1000) -> ViewDenoiser:
    """Self-attention at 8 x 8 only."""
    denoiser = small_view_denoiser((16, 32), latent_channels=4, prior_channels=4, largest_time=largest_time)
    loud(denoiser)
    for layer in (denoiser.unet.conv_in, denoiser.unet.conv_out):
        torch.nn.init.normal_(layer.weight, std=0.1)
    return denoiser


def save_small_joint(folder: Path) -> None:
    joint = joint_from_views(
        small_denoiser(), side=4, depths=4, encoder_width=8, volume_channels=(8, 16), frustum_channels=(8, 16)
    )
    loud(joint)
    joint.save(folder, small_scheduler())


def save_published(folder: Path, size: int, heads: int) -> None:
    """A Zero-1-to-3 with self-attention at its finest resolution."""
    save_shared_parts(folder)
    config = {**zero123_unet_config((32, 64), TOKEN, size), "layers_per_block": 1, "attention_head_dim": heads}
    unet = UNet2DConditionModel.from_config(config)
    loud(unet)
    unet.save_pretrained(folder / "unet")


def joint_denoiser() -> JointDenoiser:
    """3 views of 8 x 8 latents; self-attention at both resolutions but the coarsest."""
    config = {**zero123_unet_config((32, 32, 32), TOKEN, 8), "layers_per_block": 1, "attention_head_dim": 2}
    volume = SpatialVolume(
        views=3,
        image_size=64,
        latent_size=8,
        latent_channels=4,
        side=8,
        depths=4,
        encoder_width=8,
        volume_channels=(8, 16, 16),
        frustum_channels=(8, 16, 16),
        time_width=16,
    )
    denoiser = JointDenoiser(DepthUNet(config, frustum_channels=(8, 16, 16)), volume)
    loud(denoiser)
    return denoiser.eval().requires_grad_(False)


def save_joint(folder: Path) -> None:
    denoiser = joint_denoiser()
    denoiser.unet.save_pretrained(folder / "unet")
    denoiser.volume.save_pretrained(folder / "volume")
    save_shared_parts(folder)


def loud(model: torch.nn.Module) -> None:
    """Random attention is nearly even, and new layers are zero; this gives both something to say."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".attn1.to_" in name:
                parameter.mul_(4)
            if name.endswith("conv2.weight") and not parameter.any():
                parameter.normal_(std=0.1)


def made(stage: Generator, photo: Photo, runtime: Runtime = CPU) -> Tensor:
    """The latents of the views."""
    return stage(photo, runtime=runtime).latents


class OtherPhotoView(Runtime):
    """Draws other noise for the photo's own view, and the same for all others."""

    def generator(self, purpose: str) -> torch.Generator:
        return super().generator(purpose + " again" if purpose.endswith("photo's view") else purpose)
