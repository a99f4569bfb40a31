"""Tiny real weights of the parts that the small trainings begin with."""

from collections.abc import Sequence
from pathlib import Path

import torch

from epimesh.diffusion.patch_autoencoder import PatchAutoencoder
from epimesh.stages.coarse_prior.network import RingRegressor
from epimesh.stages.shared.view_denoiser import ViewDenoiser
from epimesh.stages.zero123.small_network import small_scheduler, small_view_denoiser


def save_small_weights(folder: Path, channels: Sequence[int]) -> ViewDenoiser:
    """A view denoiser, an autoencoder and two priors of codes that are not zero. Returns the first as it was saved."""
    torch.manual_seed(0)
    views = small_view_denoiser(channels, latent_channels=4, prior_channels=4)
    views.save(folder / "views", small_scheduler())
    PatchAutoencoder(latent_channels=4, widths=(8, 8, 8), blocks=1).save_pretrained(folder / "vae")
    for name in ("prior0", "prior1"):
        prior = RingRegressor(latent_channels=4, codes=6, width=16, hidden=16, blocks=1)
        torch.nn.init.normal_(prior.components.basis)
        prior.save_pretrained(folder / name)
    return views


def small_parts(folder: Path) -> dict[str, object]:
    """The settings of a training that begins with them."""
    return {
        "views": str(folder / "views"),
        "autoencoder": str(folder / "vae"),
        "priors": [str(folder / "prior0"), str(folder / "prior1")],
    }
