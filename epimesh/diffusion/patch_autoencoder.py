"""A small autoencoder of images with coverage: a fixed linear encoder and a learned decoder.

The encoder projects every 8 x 8 patch on its principal components. It needs no training, and the decoder starts from
the best linear reconstruction instead of from noise; its network only adds what is missing. Nothing normalises over the
image, so training on crops and using whole images are the same thing.
"""

from collections.abc import Sequence

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor, nn


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape out as in."""
        return x + self.second(nn.functional.silu(self.first(nn.functional.silu(x))))


class PatchAutoencoder(ModelMixin, ConfigMixin):
    """Images of 4 channels (colour on white, coverage; 0 to 1) to latents of about unit variance, and back.

    Args:
        latent_channels: principal components kept per patch.
        patch: side of a patch in pixels; a power of two.
        widths: channels of the decoder from the latent resolution upwards; the last level is finished by a pixel
            shuffle, so no layer runs at full resolution.
        blocks: residual blocks per level.
    """

    @register_to_config
    def __init__(
        self, latent_channels: int = 12, patch: int = 8, widths: Sequence[int] = (96, 64, 32), blocks: int = 2
    ) -> None:
        super().__init__()
        size = 4 * patch * patch
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("basis", torch.eye(latent_channels, size))
        self.register_buffer("scale", torch.ones(latent_channels))
        layers: list[nn.Module] = [nn.Conv2d(latent_channels, widths[0], 3, padding=1)]
        for level, width in enumerate(widths):
            if level > 0:
                layers += [nn.Conv2d(widths[level - 1], 4 * width, 1), nn.PixelShuffle(2)]
            layers += [Residual(width) for _ in range(blocks)]
        step = patch // 2 ** (len(widths) - 1)
        last = nn.Conv2d(widths[-1], 4 * step * step, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.residual = nn.Sequential(*layers, nn.SiLU(), last, nn.PixelShuffle(step))

    def encode(self, images: Float[Tensor, "B 4 H W"]) -> Float[Tensor, "B C h w"]:
        """Latents of images whose sides are multiples of the patch."""
        patch = self.config.patch
        rows = self.basis / self.scale[:, None]
        # A projection of every patch is a convolution whose stride is its size.
        return nn.functional.conv2d(
            images * 2 - 1, rows.reshape(-1, 4, patch, patch), -(rows @ self.mean), stride=patch
        )

    def linear(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 4 H W"]:
        """The linear reconstruction: the transpose of the encoder."""
        patches = torch.einsum("cp,bchw->bphw", self.basis * self.scale[:, None], latents)
        return (nn.functional.pixel_shuffle(patches + self.mean[:, None, None], self.config.patch) + 1) / 2

    def decode(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 4 H W"]:
        """Images, not clamped, so that gradients reach every pixel."""
        return self.linear(latents) + self.residual(latents) / 2

    @torch.no_grad()
    def fit_encoder(self, images: Float[Tensor, "B 4 H W"]) -> None:
        """Sets the encoder from example images, by principal components of their patches.

        Channels are divided by the square root of their deviation and then by one number that gives unit variance on
        average: low frequencies stay dominant, so a denoiser learns layout and colour first.
        """
        patches = nn.functional.pixel_unshuffle(images * 2 - 1, self.config.patch)
        rows = patches.permute(0, 2, 3, 1).reshape(-1, patches.shape[1]).double()
        mean = rows.mean(0)
        covariance = (rows - mean).T @ (rows - mean) / len(rows)
        variances, vectors = torch.linalg.eigh(covariance)
        basis = vectors.flip(-1)[:, : self.config.latent_channels].T
        signs = basis.gather(1, basis.abs().argmax(dim=1, keepdim=True)).sign()
        deviation = variances.flip(-1)[: self.config.latent_channels].sqrt()
        half_whitened = deviation.sqrt()
        self.mean.copy_(mean)
        self.basis.copy_(basis * signs)
        self.scale.copy_(half_whitened * (deviation / half_whitened).square().mean().sqrt())
