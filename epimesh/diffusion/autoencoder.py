"""One face for every autoencoder: images with coverage in, scaled latents out, and back."""

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn

from epimesh import weights
from epimesh.downloads.folders import current_names, weights_file
from epimesh.errors import BadWeights


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


def class_name(folder: Path) -> str:
    """The class that a weights folder was saved from.

    Raises:
        BadWeights: there is no readable `config.json`.
    """
    try:
        return str(json.loads((folder / "config.json").read_text())["_class_name"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadWeights(
            f"{folder} has no usable config.json ({type(error).__name__}: {error}).\n"
            "Expected a folder in diffusers format. Download or export it again."
        ) from error


def load_network(kind: Any, folder: Path) -> Any:
    """A diffusers model of class `kind` from a folder, in fp32, every key and shape checked.

    Raises:
        BadWeights: another class, a damaged file, or keys and shapes that do not fit.
    """
    from diffusers.utils import logging
    from safetensors.torch import load_file

    found = class_name(folder)
    if found != kind.__name__:
        raise BadWeights(f"{folder} holds a {found}.\nExpected a {kind.__name__}. Give another folder.")
    file = weights_file(folder, "Download or export it again.")
    try:
        logging.set_verbosity_error()
        network = kind.from_config(kind.load_config(folder))
        network.load_state_dict({name: tensor.float() for name, tensor in current_names(load_file(file)).items()})
    except (OSError, SafetensorError, RuntimeError, ValueError, TypeError) as error:
        reason = str(error).splitlines()
        raise BadWeights(
            f"{file} does not fit a {kind.__name__}: {' '.join(reason[:3])}\n"
            "It is damaged or belongs to another configuration. Download or export it again."
        ) from error
    return network.eval()
