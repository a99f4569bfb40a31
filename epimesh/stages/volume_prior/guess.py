"""The coarse prior's guess of the ring of views, as small pictures.

The coarse prior is a perceptron that has seen millions of photos in minutes; the volume network starts from what it
knows.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from epimesh.diffusion.autoencoder import Autoencoder
from epimesh.stages.coarse_prior.network import RingRegressor

VIEWS = 16


@dataclass(frozen=True, eq=False)
class RingGuess:
    """From photos to pictures of the ring at elevation 30.

    Args:
        regressor: of latents.
        autoencoder: whose latents these are; only its linear part is used.
    """

    regressor: RingRegressor
    autoencoder: Autoencoder

    def to(self, device: str) -> "RingGuess":
        """The same, with its networks moved."""
        return RingGuess(self.regressor.to(device), self.autoencoder.to(device, torch.float32))

    @torch.no_grad()
    def __call__(
        self, photo: Float[Tensor, "B 4 S S"], elevation_deg: Float[Tensor, "B"]
    ) -> Float[Tensor, "B 16 4 H W"]:
        """Colours on white with coverage, at half the photo's resolution."""
        latents = self.autoencoder.encode(photo)
        ring = self.regressor(latents, elevation_deg).float().flatten(0, 1)
        rows, mean = self._half_sized
        patches = torch.einsum("cp,bchw->bphw", rows, ring) + mean[:, None, None]
        pictures = functional.pixel_shuffle(patches, self.autoencoder.factor // 2)
        return ((pictures + 1) / 2).clamp(0, 1).unflatten(0, (len(photo), VIEWS))

    @cached_property
    def _half_sized(self) -> tuple[Tensor, Tensor]:
        """The linear decoder at half the resolution: the means of two by two pixels are as linear as the pixels."""
        network, patch = self.autoencoder.network, self.autoencoder.factor
        rows = torch.cat([network.basis * network.scale[:, None], network.mean[None]])
        half = functional.avg_pool2d(rows.unflatten(1, (4, patch, patch)), 2).flatten(1)
        return half[:-1], half[-1]
