"""The coarse prior as a stage of its own: views for a first mesh, without any diffusion."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import torch

from epimesh.cameras import Cameras
from epimesh.diffusion.autoencoder import Autoencoder, load_autoencoder
from epimesh.diffusion.photo_latents import photo_latents
from epimesh.photo import Photo
from epimesh.pipeline.contracts import ViewGenerator
from epimesh.runtime import Runtime
from epimesh.views import LatentViews

if TYPE_CHECKING:
    from epimesh.stages.coarse_prior.network import RingRegressor


@dataclass(frozen=True, kw_only=True)
class CoarsePrior(ViewGenerator):
    """All 16 views of the ring at elevation 30 in one pass of a regressor: the right layout, blurred detail.

    Args:
        weights: folder or `bundled:NAME` of a RingRegressor.
        autoencoder: weights of the autoencoder whose latents it speaks.
    """

    weights: str = "bundled:coarse-prior"
    autoencoder: str = "bundled:patch-vae"
    latent_space = "patch"
    weights_settings: ClassVar[tuple[str, ...]] = ("weights", "autoencoder")

    @cached_property
    def _network(self) -> "RingRegressor":
        from epimesh.stages.coarse_prior.network import load_ring_regressor  # diffusers takes seconds to import

        return load_ring_regressor(self.weights)

    @cached_property
    def _autoencoder(self) -> Autoencoder:
        return load_autoencoder(self.autoencoder)

    @torch.inference_mode()
    def __call__(self, photo: Photo, *, runtime: Runtime) -> LatentViews:
        """Latents of the ring."""
        autoencoder = self._autoencoder.to(runtime.device, torch.float32)
        network = self._network.to(runtime.device)
        latents = photo_latents(photo, autoencoder, int(network.config.latent_size))
        elevation = torch.tensor([photo.elevation_deg], device=runtime.device)
        ring = network(latents.to(runtime.device), elevation)[0].float().cpu().clone()
        size = int(network.config.latent_size) * autoencoder.factor
        return LatentViews(ring, Cameras.ring(len(ring), size=size), photo, self.latent_space)
