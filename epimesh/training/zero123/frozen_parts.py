"""The parts of a Zero-1-to-3 as a training holds them: what learns, and what it sees with."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from jaxtyping import Float
from torch import Tensor, nn

from epimesh import weights
from epimesh.diffusion.autoencoder import load_kl_autoencoder
from epimesh.files.atomic import atomic_folder
from epimesh.stages.shared.photo_token import PhotoToken, clip_pixels
from epimesh.stages.zero123.stage import FACTOR
from epimesh.weights.loading import load_image_encoder, load_part, part

_GIVEN = ("vae", "image_encoder", "scheduler")


class Zero123Network(nn.Module):
    """What learns: the UNet and the token."""

    def __init__(self, unet: UNet2DConditionModel, token: PhotoToken) -> None:
        super().__init__()
        self.unet = unet
        self.token = token

    @classmethod
    def load(cls, source: str) -> "Zero123Network":
        """From converted or exported weights.

        Raises:
            WeightsNotFound: there is nothing at `source`.
            BadWeights: these are not the weights of a Zero-1-to-3.
        """
        unet = load_part(UNet2DConditionModel, part(source, "unet"))
        return cls(unet, load_part(PhotoToken, part(source, "photo_token")))

    @property
    def image_size(self) -> int:
        """Of photos and views, in pixels."""
        return int(self.unet.config.sample_size) * FACTOR

    def export(self, folder: Path, source: str) -> None:
        """Writes all parts that a stage loads, every one whole; those that did not learn are copied from `source`."""
        _replace(folder / "unet", self.unet.save_pretrained)
        _replace(folder / "photo_token", self.token.save_pretrained)
        for name in _GIVEN:
            if not (folder / name).is_dir():
                _replace(folder / name, partial(shutil.copytree, weights.resolve(source) / name))


class Sight:
    """What photos and views are seen with: an autoencoder and CLIP, which never learn.

    It is no module, so it does not get into checkpoints: `to` is up to the training.

    Args:
        source: converted or exported weights.
        batch: how many images to look at at once.

    Raises:
        WeightsNotFound: there is nothing at `source`.
        BadWeights: these are not the weights of a Zero-1-to-3.
    """

    def __init__(self, source: str, batch: int) -> None:
        self.autoencoder = load_kl_autoencoder(part(source, "vae"))
        self.encoder = load_image_encoder(part(source, "image_encoder"))
        self.scaling = float(self.autoencoder.network.config.scaling_factor)
        self.batch = batch

    def to(self, device: torch.device) -> None:
        """Moves the networks."""
        self.autoencoder.network.to(device)
        self.encoder.to(device)

    def posterior(self, images: Float[Tensor, "N 3 S S"]) -> DiagonalGaussianDistribution:
        """Of the latents of images in [-1, 1], not scaled."""
        vae = self.autoencoder.network
        parts = [vae.encode(some).latent_dist.parameters for some in images.split(self.batch)]
        return DiagonalGaussianDistribution(torch.cat(parts).float())

    def pictures(self, latents: Float[Tensor, "N C h w"]) -> Float[Tensor, "N 3 S S"]:
        """Of scaled latents: images in [-1, 1], never rounded to 8 bits."""
        parts = [self.autoencoder.decode(some)[:, :3] for some in latents.split(self.batch)]
        return torch.cat(parts).float() * 2 - 1

    def embedded(self, images: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N D"]:
        """What CLIP sees in images in [-1, 1]."""
        parts: list[Any] = [self.encoder(clip_pixels(some)).image_embeds for some in images.split(self.batch)]
        return torch.cat(parts).float()


def _replace(folder: Path, write: Callable[[Path], Any]) -> None:
    """Writes a part whole, and only then in the place of the one before."""
    with atomic_folder(folder, replace=True) as unfinished:
        write(unfinished)
