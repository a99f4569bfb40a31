"""Views of what a surface prior makes of the photo, as a generator: they cannot disagree."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch

from epimesh.cameras import Cameras
from epimesh.diffusion.autoencoder import Autoencoder, load_autoencoder
from epimesh.photo import Photo
from epimesh.pipeline.contracts import SurfacePrior, ViewGenerator
from epimesh.runtime import Runtime
from epimesh.views import LatentViews

VIEWS = 16


@dataclass(frozen=True, kw_only=True)
class PriorViews(ViewGenerator):
    """The 16 views of the ring at elevation 30, drawn from a surface prior and encoded.

    Args:
        prior: makes a surface of the photo.
        autoencoder: weights of the autoencoder whose latents are made.
        size: of the drawn views, in pixels per side.
    """

    prior: SurfacePrior
    autoencoder: str = "bundled:patch-vae"
    size: int = 128
    latent_space = "patch"
    weights_settings: ClassVar[tuple[str, ...]] = ("autoencoder",)

    @cached_property
    def _autoencoder(self) -> Autoencoder:
        return load_autoencoder(self.autoencoder)

    @torch.inference_mode()
    def __call__(self, photo: Photo, *, runtime: Runtime) -> LatentViews:
        """Latents of the ring."""
        cameras = Cameras.ring(VIEWS, size=self.size)
        drawn = self.prior(photo, runtime=runtime).render(cameras)
        runtime.done_with(self.prior)
        autoencoder = self._autoencoder.to(runtime.device, torch.float32)
        latents = autoencoder.encode(torch.cat([drawn.rgb, drawn.alpha], dim=1).to(runtime.device))
        return LatentViews(latents.float().cpu().clone(), cameras, photo, self.latent_space)
