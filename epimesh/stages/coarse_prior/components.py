"""Whole latent images as a few hundred numbers: principal components under which distances are those of pixels."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ViewComponents(nn.Module):
    """Latent images to codes and back; linear, fitted on examples.

    Args:
        latent_channels: of the autoencoder.
        latent_size: side of the latent images.
        codes: how many components are kept.
    """

    pixel_scale: Tensor
    mean: Tensor
    basis: Tensor
    deviation: Tensor

    def __init__(self, latent_channels: int, latent_size: int, codes: int) -> None:
        super().__init__()
        self.shape = (latent_channels, latent_size, latent_size)
        size = latent_channels * latent_size * latent_size
        self.register_buffer("pixel_scale", torch.ones(latent_channels))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("basis", torch.eye(codes, size))
        self.register_buffer("deviation", torch.ones(codes))

    def encode(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B K"]:
        """Codes of latent images, in units of pixel values."""
        flat = (latents * self.pixel_scale[:, None, None]).flatten(1)
        return (flat - self.mean) @ self.basis.T

    def decode(self, codes: Float[Tensor, "*B K"]) -> Float[Tensor, "*B C h w"]:
        """Latent images of codes."""
        flat = codes @ self.basis + self.mean
        return flat.reshape(*codes.shape[:-1], *self.shape) / self.pixel_scale[:, None, None]

    @torch.no_grad()
    def fit(self, latents: Float[Tensor, "B C h w"], pixel_scale: Float[Tensor, "C"]) -> None:
        """Sets the components from example latents.

        Args:
            latents: of as many views as memory allows.
            pixel_scale: root of the squared pixel difference that one unit of each latent channel makes.
        """
        self.pixel_scale.copy_(pixel_scale)
        flat = (latents.float() * self.pixel_scale[:, None, None]).flatten(1)
        mean = flat.mean(0)
        covariance = (flat - mean).T @ (flat - mean) / len(flat)
        variances, vectors = torch.linalg.eigh(covariance.double())
        keep = len(self.basis)
        self.mean.copy_(mean)
        self.basis.copy_(vectors.flip(-1)[:, :keep].T)
        self.deviation.copy_(variances.flip(-1)[:keep].clamp_min(1e-8).sqrt())
