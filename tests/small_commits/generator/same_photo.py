"""A generator: the photo itself, from wherever one looks."""

from dataclasses import dataclass

import torch

from epimesh.cameras import Cameras
from epimesh.diffusion.autoencoder import load_autoencoder
from epimesh.diffusion.photo_latents import photo_latents
from epimesh.photo import Photo
from epimesh.pipeline.contracts import ViewGenerator
from epimesh.runtime import Runtime
from epimesh.views import LatentViews


@dataclass(frozen=True, kw_only=True)
class SamePhoto(ViewGenerator):
    """Repeats the photo for all cameras of the ring."""

    latent_space = "patch"

    @torch.inference_mode()
    def __call__(self, photo: Photo, *, runtime: Runtime) -> LatentViews:
        autoencoder = load_autoencoder("bundled:patch-vae").to(runtime.device, torch.float32)
        latents = photo_latents(photo, autoencoder, 16)
        cameras = Cameras.ring(size=16 * autoencoder.factor)
        repeated = latents.expand(len(cameras), -1, -1, -1)
        return LatentViews(repeated.cpu().clone(), cameras, photo, self.latent_space)
