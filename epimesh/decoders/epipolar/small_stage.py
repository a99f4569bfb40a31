"""Decodes the small generators' views together, and with the photo, where rough depth says they show the same place."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from epimesh import weights
from epimesh.decoders.epipolar.depth import check_depth
from epimesh.decoders.epipolar.depth_sources import DepthSource
from epimesh.decoders.epipolar.geometry import ring_sources
from epimesh.decoders.epipolar.stage import check_depth_of, check_ring
from epimesh.diffusion.autoencoder import load_network
from epimesh.errors import StageMismatch
from epimesh.pipeline.contracts import ViewDecoder
from epimesh.runtime import Runtime
from epimesh.views import LatentViews, Views

if TYPE_CHECKING:
    from epimesh.decoders.epipolar.small_network import SmallEpipolarVae


@dataclass(frozen=True, kw_only=True)
class SmallEpipolarDecoder(ViewDecoder):
    """Decoding of the small autoencoder's latents with depth-guided attention between the views and to the photo.

    Args:
        weights: folder, `bundled:NAME` or `hub:OWNER/NAME` of a SmallEpipolarVae, to which neighbours, points and
            margin belong.
        depth: where rough depth comes from; it may be wrong by the margin that the weights were trained for.
        latent_space: the family these weights belong to.

    Source: Tang et al., "Pixel-Aligned Multi-View Generation with Depth Guided Decoder" (arXiv:2408.14016).
    """

    weights: str
    depth: DepthSource
    latent_space: str = "patch"

    @cached_property
    def network(self) -> "SmallEpipolarVae":
        """The loaded network."""
        from epimesh.decoders.epipolar.small_network import SmallEpipolarVae

        return load_network(SmallEpipolarVae, weights.resolve(self.weights)).requires_grad_(False)

    def __call__(self, latents: LatentViews, *, runtime: Runtime) -> Views:
        """Colours and coverage of every view.

        Raises:
            StageMismatch: latents of another family or size, too few views, or views out of ring order.
            BadInput: the depth is of another size, NaN or not positive.
        """
        cameras = latents.cameras
        self._check(latents)
        check_ring(cameras)
        ring_sources(len(cameras), self.network.config.neighbours)  # refuses too few views before any work
        depth = self.depth(latents, runtime=runtime)
        self.depth.release()
        check_depth_of(depth, cameras)
        check_depth(depth)
        if depth.isinf().all():
            runtime.reporter.warn("No depth is known in any view: they are decoded without seeing each other.")
        with torch.inference_mode():
            network = self.network.to(runtime.device, runtime.dtype)
            photo = latents.photo.resized(cameras.width)
            segments = network.segments(cameras, photo.camera, depth[None])
            rgba = network(
                latents.latents[None].to(runtime.device, runtime.dtype),
                [level.to(torch.device(runtime.device)) for level in segments],
                photo.on_white()[None].to(runtime.device, runtime.dtype),
            )[0]
        rgba = rgba.float().clamp(0, 1).cpu()
        return Views(rgb=rgba[:, :3].clone(), alpha=rgba[:, 3:].clone(), cameras=cameras)

    def _check(self, latents: LatentViews) -> None:
        config, cameras = self.network.config, latents.cameras
        found = (latents.latent_space, latents.latents.shape[1])
        if found != (self.latent_space, config.latent_channels):
            raise StageMismatch(
                f"The latents are of the family '{found[0]}' with {found[1]} channels, but {self.weights} decodes "
                f"'{self.latent_space}' with {config.latent_channels}.\nSet --decode.weights to match."
            )
        size = tuple(config.patch * side for side in latents.latents.shape[2:])
        if size != (cameras.height, cameras.width) or size[0] != size[1]:
            raise StageMismatch(
                f"The latents decode to {size[0]} x {size[1]} pixels, but their cameras see {cameras.height} x "
                f"{cameras.width}.\nExpected square images of one size. Choose a generator that makes them."
            )
        if cameras.orthographic:
            raise StageMismatch(
                "The views have orthographic cameras, but the photo, a further source of this decoder, a pinhole one.\n"
                "Use the plain decoder: --decode VaeDecoder"
            )
