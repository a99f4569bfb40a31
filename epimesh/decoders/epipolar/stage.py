"""Decodes all views together: each pixel looks at the places of the other views where it may reappear."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh import weights
from epimesh.decoders.epipolar.depth_guided import DepthGuidedDecoder, check_latents
from epimesh.decoders.epipolar.photo_source import view_of_photo
from epimesh.decoders.normals import world_normals
from epimesh.diffusion.autoencoder import foreground
from epimesh.errors import StageMismatch
from epimesh.pipeline.contracts import CoverageFinder
from epimesh.pipeline.process_memory import held_bytes
from epimesh.runtime import Runtime
from epimesh.views import LatentViews, Views
from epimesh.weights.loading import load_network

if TYPE_CHECKING:
    from epimesh.decoders.epipolar.network import EpipolarVae


@dataclass(frozen=True, kw_only=True)
class EpipolarDecoder(DepthGuidedDecoder):
    """Decoding with depth-guided attention between the views. A single view is decoded plainly.

    Args:
        weights: folder, `bundled:NAME` or `hub:OWNER/NAME` of an EpipolarVae, to which neighbours, points and margin
            belong.
        depth: where rough depth comes from; it may be wrong by the margin that the weights were trained for.
        rounds: how often to decode; from the second round on the reconstruction of `depth` sees the last round's views.
        latent_space: the family these weights belong to.
        coverage: finds the object in decoded images, e.g. SalientCoverage; null takes whatever is not white.

    Source: Tang et al., "Pixel-Aligned Multi-View Generation with Depth Guided Decoder" (arXiv:2408.14016).
    """

    latent_space: str = "sd"
    coverage: CoverageFinder | None = None

    @cached_property
    def network(self) -> "EpipolarVae":
        """The loaded network."""
        from epimesh.decoders.epipolar.network import EpipolarVae

        return load_network(EpipolarVae, weights.resolve(self.weights)).requires_grad_(False)

    def _check(self, latents: LatentViews) -> None:
        config = self.network.config
        check_latents(latents, self, 2 ** (len(config.samples) - 1))
        if latents.cameras.orthographic and config.front == "source":
            raise StageMismatch(
                "The views have orthographic cameras, but the photo, a further source of this decoder, a pinhole one.\n"
                "Use weights that look at no photo (front: none)."
            )
        if config.front == "add" and len(latents) > 1:
            view_of_photo(latents.cameras, latents.photo.camera)

    @torch.no_grad()
    def _decoded(self, latents: LatentViews, depth: Float[Tensor, "V H W"] | None, runtime: Runtime) -> Views:
        cameras, photo = latents.cameras, latents.photo
        network = self.network.to(runtime.device, runtime.dtype)
        guided, add = depth is not None, network.config.front == "add"
        images = network(
            latents.latents.to(runtime.device, runtime.dtype),
            network.segments(cameras, depth, photo.camera) if guided else None,
            photo_rgb=photo.resized(cameras.width).on_white()[None].to(runtime.device, runtime.dtype),
            photo_view=view_of_photo(cameras, photo.camera) if guided and add else None,
            view_by_view=self._memory_is_limited(latents, runtime),
        )
        rgb = (images.float().cpu() / 2 + 0.5).clamp(0, 1)
        alpha = (self.coverage or foreground)(rgb)
        return Views(rgb=rgb, alpha=alpha, cameras=cameras, normals=self._normals(latents, alpha, runtime))

    def _normals(self, latents: LatentViews, alpha: Tensor, runtime: Runtime) -> Float[Tensor, "V 3 H W"] | None:
        """View by view: attention between views was trained on colours."""
        if latents.normals is None:
            return None
        plain = self.network.to(runtime.device, runtime.dtype)
        given = latents.normals.to(runtime.device, runtime.dtype)
        photo = torch.ones(1, 3, latents.cameras.height, latents.cameras.width).to(given)
        pictures = plain(given, None, photo_rgb=photo, photo_view=None, view_by_view=True).float().cpu()
        return world_normals((pictures / 2 + 0.5).clamp(0, 1), alpha, latents.photo.camera)

    def _memory_is_limited(self, latents: LatentViews, runtime: Runtime) -> bool:
        """Whether there is a limit. Warns if not even one view after the other will keep it."""
        if runtime.max_memory_bytes is None:
            return False
        from epimesh.decoders.epipolar.temporal_layers import needed_bytes

        config, cameras, held = self.network.config, latents.cameras, held_bytes(runtime.device)
        slots, pixels = config.neighbours + (config.front == "source"), cameras.height * cameras.width
        least = held + needed_bytes(config.block_out_channels, slots, len(latents), pixels, runtime.dtype.itemsize)
        if least > runtime.max_memory_bytes:
            runtime.reporter.warn(
                f"--max-memory is {runtime.max_memory_bytes / 1e9:.2f} GB, but decoding {len(latents)} views of "
                f"{cameras.height} x {cameras.width} pixels takes about {least / 1e9:.2f} GB, one after the other "
                f"({held / 1e9:.2f} GB of them are in use already). It goes on and will exceed the limit."
            )
        return True
