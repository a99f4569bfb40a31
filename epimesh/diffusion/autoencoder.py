"""One face for every autoencoder: images with coverage in, scaled latents out, and back."""

from abc import ABC, abstractmethod
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from epimesh import weights
from epimesh.errors import BadWeights
from epimesh.weights.loading import class_name, load_network


class Autoencoder(ABC):
    """Images of 4 channels (colour on white, coverage; 0 to 1) to latents of about unit variance, and back.

    Attributes:
        latent_space: name of the family; latents of different families do not mix.
        factor: pixels per latent, along each side.
        latent_channels: of the latents.
    """

    latent_space: str
    factor: int = 8
    latent_channels: int

    def __init__(self, network: nn.Module) -> None:
        self.network = network.eval().requires_grad_(False)

    def to(self, device: str, dtype: torch.dtype) -> "Autoencoder":
        """Moves the network."""
        self.network.to(device=device, dtype=dtype)
        return self

    @abstractmethod
    def encode(self, images: Float[Tensor, "B 4 H W"]) -> Float[Tensor, "B C h w"]:
        """The most likely latents; nothing random."""

    @abstractmethod
    def decode(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 4 H W"]:
        """Images, clamped to 0 to 1."""

    def mirrored(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """Latents of the same images mirrored left to right."""
        return self.encode(self.decode(latents).flip(-1))


class SmallAutoencoder(Autoencoder):
    """The patch autoencoder trained by this project."""

    latent_space = "patch"

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.latent_channels = int(network.config.latent_channels)

    def encode(self, images: Float[Tensor, "B 4 H W"]) -> Float[Tensor, "B C h w"]:
        """Principal components of the patches."""
        return self.network.encode(images)

    def decode(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 4 H W"]:
        """Colour and coverage."""
        return self.network.decode(latents).clamp(0, 1)

    def mirrored(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """Through the linear reconstruction: its components are as good for the mirrored patches."""
        return self.encode(self.network.linear(latents).flip(-1))


class KlAutoencoder(Autoencoder):
    """Diffusers' AutoencoderKL, as of Stable Diffusion. It has no coverage: white counts as empty."""

    latent_space = "sd"

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.latent_channels = int(network.config.latent_channels)
        self._scaling = float(network.config.scaling_factor)

    def encode(self, images: Float[Tensor, "B 4 H W"]) -> Float[Tensor, "B C h w"]:
        """The posterior's mode, scaled."""
        return self.network.encode(images[:, :3] * 2 - 1).latent_dist.mode() * self._scaling

    def decode(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 4 H W"]:
        """Colour, and coverage where the colour is not white."""
        rgb = (self.network.decode(latents / self._scaling).sample / 2 + 0.5).clamp(0, 1)
        return torch.cat([rgb, foreground(rgb)], dim=1)


def foreground(rgb: Float[Tensor, "B 3 H W"], threshold: float = 0.05) -> Float[Tensor, "B 1 H W"]:
    """Coverage of an object on white: 1 where any channel is darker than white by more than `threshold`."""
    return ((1 - rgb).amax(dim=1, keepdim=True) > threshold).to(rgb.dtype)


def load_autoencoder(source: str) -> Autoencoder:
    """The autoencoder in a weights folder, whichever kind its `config.json` names.

    Raises:
        WeightsNotFound: there is no such folder.
        BadWeights: it is damaged, or of a kind that is not an autoencoder.
    """
    folder = weights.resolve(source)
    kind = class_name(folder)
    if kind == "PatchAutoencoder":
        from epimesh.diffusion.patch_autoencoder import PatchAutoencoder

        return SmallAutoencoder(load_network(PatchAutoencoder, folder))
    if kind == "AutoencoderKL":
        from diffusers import AutoencoderKL

        return KlAutoencoder(load_network(AutoencoderKL, folder))
    raise BadWeights(
        f"{folder} holds a {kind}.\nExpected an autoencoder: PatchAutoencoder or AutoencoderKL. Give another folder."
    )


def load_kl_autoencoder(folder: Path) -> KlAutoencoder:
    """Stable Diffusion's autoencoder."""
    from diffusers import AutoencoderKL

    return KlAutoencoder(load_network(AutoencoderKL, folder))
