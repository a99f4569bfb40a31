"""Decodes every view on its own. Fast, and the baseline for decoders that let views see each other."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.decoders.normals import world_normals
from epimesh.diffusion.autoencoder import Autoencoder, load_autoencoder
from epimesh.errors import BadInput, StageMismatch
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

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise BadInput(f"batch is {self.batch}, expected at least 1 view at once, e.g. 4.")

    @cached_property
    def autoencoder(self) -> Autoencoder:
        """The loaded network."""
        return load_autoencoder(self.weights)

    @torch.inference_mode()
    def __call__(self, latents: LatentViews, *, runtime: Runtime) -> Views:
        """Colours and coverage of every view, and normals where the generator made them."""
        autoencoder = self.autoencoder.to(runtime.device, runtime.dtype)
        found = (latents.latent_space, latents.latents.shape[1])
        if found != (autoencoder.latent_space, autoencoder.latent_channels):
            raise StageMismatch(
                f"The latents are of the family '{found[0]}' with {found[1]} channels, but {self.weights} decodes "
                f"'{autoencoder.latent_space}' with {autoencoder.latent_channels}.\nSet --decode.weights to match."
            )
        rgba = self._decoded(autoencoder, latents.latents, runtime)
        rgb, alpha = rgba[:, :3].clone(), rgba[:, 3:].clone()
        alpha = self.coverage(rgb) if self.coverage else alpha
        normals = None
        if latents.normals is not None:
            pictures = self._decoded(autoencoder, latents.normals, runtime)[:, :3]
            normals = world_normals(pictures, alpha, latents.photo.camera).clone()
        return Views(rgb=rgb, alpha=alpha, cameras=latents.cameras, normals=normals)

    def _decoded(
        self, autoencoder: Autoencoder, latents: Float[Tensor, "V C h w"], runtime: Runtime
    ) -> Float[Tensor, "V 4 H W"]:
        chunks = latents.split(self.batch)
        tracked = runtime.reporter.track(chunks, "decoding views", len(chunks))
        return torch.cat(
            [autoencoder.decode(chunk.to(runtime.device, runtime.dtype)).float().cpu() for chunk in tracked]
        )
