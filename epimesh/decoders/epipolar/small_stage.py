"""Decodes the small generators' views together, and with the photo, where rough depth says they show the same place."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh import weights
from epimesh.decoders.epipolar.depth_guided import DepthGuidedDecoder, check_latents
from epimesh.errors import StageMismatch
from epimesh.runtime import Runtime
from epimesh.views import LatentViews, Views
from epimesh.weights.loading import load_network

if TYPE_CHECKING:
    from epimesh.decoders.epipolar.small_network import SmallEpipolarVae


@dataclass(frozen=True, kw_only=True)
class SmallEpipolarDecoder(DepthGuidedDecoder):
    """Decoding of the small autoencoder's latents with depth-guided attention between the views and to the photo.

    A single view is decoded plainly.

    Args:
        weights: folder, `bundled:NAME` or `hub:OWNER/NAME` of a SmallEpipolarVae, to which neighbours, points and
            margin belong.
        depth: where rough depth comes from; it may be wrong by the margin that the weights were trained for.
        rounds: how often to decode; from the second round on the reconstruction of `depth` sees the last round's views.
        latent_space: the family these weights belong to.

    Source: Tang et al., "Pixel-Aligned Multi-View Generation with Depth Guided Decoder" (arXiv:2408.14016).
    """

    latent_space: str = "patch"

    @cached_property
    def network(self) -> "SmallEpipolarVae":
        """The loaded network."""
        from epimesh.decoders.epipolar.small_network import SmallEpipolarVae

        return load_network(SmallEpipolarVae, weights.resolve(self.weights)).requires_grad_(False)

    def _check(self, latents: LatentViews) -> None:
        check_latents(latents, self, self.network.config.patch)
        cameras = latents.cameras
        if cameras.height != cameras.width:
            raise StageMismatch(
                f"The views have {cameras.height} x {cameras.width} pixels.\n"
                "Expected square images, as the photo's are. Choose a generator that makes them."
            )
        if cameras.orthographic:
            raise StageMismatch(
                "The views have orthographic cameras, but the photo, a further source of this decoder, a pinhole one.\n"
                "Use the plain decoder: --decode VaeDecoder"
            )

    @torch.inference_mode()
    def _decoded(self, latents: LatentViews, depth: Float[Tensor, "V H W"] | None, runtime: Runtime) -> Views:
        network, device = self.network.to(runtime.device, runtime.dtype), torch.device(runtime.device)
        cameras, photo = latents.cameras, latents.photo.resized(latents.cameras.width)
        segments = None if depth is None else network.segments(cameras, photo.camera, depth[None])
        rgba = network(
            latents.latents[None].to(device, runtime.dtype),
            None if segments is None else [level.to(device) for level in segments],
            photo.on_white()[None].to(device, runtime.dtype),
        )[0]
        rgba = rgba.float().clamp(0, 1).cpu()
        return Views(rgb=rgba[:, :3].clone(), alpha=rgba[:, 3:].clone(), cameras=cameras)
