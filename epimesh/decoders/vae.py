"""Decodes every view on its own. Fast, and the baseline for decoders that let views see each other."""

from dataclasses import dataclass
from functools import cached_property

import torch

from epimesh.diffusion.autoencoder import Autoencoder, load_autoencoder
from epimesh.errors import StageMismatch
from epimesh.pipeline.contracts import CoverageFinder, ViewDecoder
from epimesh.runtime import Runtime
from epimesh.views import LatentViews, Views


@dataclass(frozen=True, kw_only=True)
class VaeDecoder(ViewDecoder):
    """Plain decoding, view by view.

    Args:
        weights: folder, `bundled:NAME` or `hub:OWNER/NAME` of an AutoencoderKL or PatchAutoencoder.
        latent_space: the family these weights belong to ("patch" is the small one, "sd" that of Stable Diffusion).
        batch: how many views to decode at once; lower it to save memory.
        coverage: finds the object in decoded images, e.g. SalientCoverage; null keeps what the autoencoder says, which
            for that of Stable Diffusion is whatever is not white.
    """

    weights: str = "bundled:patch-vae"
    latent_space: str = "patch"
    batch: int = 4
    coverage: CoverageFinder | None = None

    @cached_property
    def autoencoder(self) -> Autoencoder:
        """The loaded network."""
        return load_autoencoder(self.weights)

    @torch.inference_mode()
    def __call__(self, latents: LatentViews, *, runtime: Runtime) -> Views:
        """Colours and coverage of every view."""
        autoencoder = self.autoencoder.to(runtime.device, runtime.dtype)
        found = (latents.latent_space, latents.latents.shape[1])
        if found != (autoencoder.latent_space, autoencoder.latent_channels):
            raise StageMismatch(
                f"The latents are of the family '{found[0]}' with {found[1]} channels, but {self.weights} decodes "
                f"'{autoencoder.latent_space}' with {autoencoder.latent_channels}.\nSet --decode.weights to match."
            )
        chunks = latents.latents.split(self.batch)
        tracked = runtime.reporter.track(chunks, "decoding views", len(chunks))
        images = [autoencoder.decode(chunk.to(runtime.device, runtime.dtype)).float().cpu() for chunk in tracked]
        rgba = torch.cat(images).clone()
        rgb, alpha = rgba[:, :3].clone(), rgba[:, 3:].clone()
        return Views(rgb=rgb, alpha=self.coverage(rgb) if self.coverage else alpha, cameras=latents.cameras)
