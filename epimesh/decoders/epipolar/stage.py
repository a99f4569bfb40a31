"""Decodes all views together: each pixel looks at the places of the other views where it may reappear."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from epimesh import weights
from epimesh.cameras import Cameras
from epimesh.decoders.epipolar.attention import MAX_BYTES
from epimesh.decoders.epipolar.depth_sources import DepthSource
from epimesh.decoders.epipolar.front import view_of_photo
from epimesh.decoders.epipolar.geometry import Segments, ring_sources
from epimesh.diffusion.autoencoder import foreground, load_network
from epimesh.errors import BadInput, StageMismatch
from epimesh.pipeline.contracts import ViewDecoder
from epimesh.runtime import Runtime
from epimesh.views import LatentViews, Views

if TYPE_CHECKING:
    from epimesh.decoders.epipolar.network import EpipolarVae


@dataclass(frozen=True, kw_only=True)
class EpipolarDecoder(ViewDecoder):
    """Decoding with depth-guided attention between the views. A single view is decoded plainly.

    Args:
        weights: folder, `bundled:NAME` or `hub:OWNER/NAME` of an EpipolarVae, to which neighbours, points and margin
            belong.
        depth: where rough depth comes from; it may be wrong by the margin that the weights were trained for.
        latent_space: the family these weights belong to.

    Source: Tang et al., "Pixel-Aligned Multi-View Generation with Depth Guided Decoder" (arXiv:2408.14016).
    """

    weights: str
    depth: DepthSource
    latent_space: str = "sd"

    @cached_property
    def network(self) -> "EpipolarVae":
        """The loaded network."""
        from epimesh.decoders.epipolar.network import EpipolarVae

        return load_network(EpipolarVae, weights.resolve(self.weights)).requires_grad_(False)

    def __call__(self, latents: LatentViews, *, runtime: Runtime) -> Views:
        """Colours of every view, and coverage where they are not white.

        Raises:
            StageMismatch: latents of another family or size, too few views, views out of ring order, or none with the
                photo's camera although the weights want it.
            BadInput: the depth is of another size, NaN or not positive.
        """
        network, cameras, photo = self.network, latents.cameras, latents.photo
        self._check(latents)
        if len(latents) == 1:
            return self._decoded(latents, None, None, runtime)
        check_ring(cameras)
        ring_sources(len(cameras), network.config.neighbours)  # refuses too few views before any work
        photo_view = view_of_photo(cameras, photo.camera) if network.config.front == "add" else None
        depth = self.depth(latents, runtime=runtime)
        self.depth.release()
        check_depth_of(depth, cameras)
        if depth.isinf().all():
            runtime.reporter.warn("No depth is known in any view: they are decoded without seeing each other.")
        return self._decoded(latents, network.segments(cameras, depth, photo.camera), photo_view, runtime)

    @torch.no_grad()
    def _decoded(
        self, latents: LatentViews, segments: list[Segments] | None, photo_view: int | None, runtime: Runtime
    ) -> Views:
        images = self.network.to(runtime.device, runtime.dtype)(
            latents.latents.to(runtime.device, runtime.dtype),
            segments,
            photo_rgb=latents.photo.resized(latents.cameras.width).on_white()[None].to(runtime.device, runtime.dtype),
            photo_view=photo_view,
            max_bytes=min(MAX_BYTES, runtime.max_memory_bytes or MAX_BYTES),
        )
        rgb = (images.float().cpu() / 2 + 0.5).clamp(0, 1)
        return Views(rgb=rgb, alpha=foreground(rgb), cameras=latents.cameras)

    def _check(self, latents: LatentViews) -> None:
        config = self.network.config
        found = (latents.latent_space, latents.latents.shape[1])
        if found != (self.latent_space, config.latent_channels):
            raise StageMismatch(
                f"The latents are of the family '{found[0]}' with {found[1]} channels, but {self.weights} decodes "
                f"'{self.latent_space}' with {config.latent_channels}.\nSet --decode.weights to match."
            )
        factor = 2 ** (len(config.samples) - 1)
        size = tuple(factor * side for side in latents.latents.shape[2:])
        if size != (latents.cameras.height, latents.cameras.width):
            raise StageMismatch(
                f"The latents decode to {size[0]} x {size[1]} pixels, but their cameras see {latents.cameras.height} x "
                f"{latents.cameras.width}.\nThe generator and --decode.weights have different factors; change one."
            )
        if latents.cameras.orthographic and config.front == "source":
            raise StageMismatch(
                "The views have orthographic cameras, but the photo, a further source of this decoder, a pinhole one.\n"
                "Use weights that look at no photo (front: none)."
            )


def check_depth_of(depth: Tensor, cameras: Cameras) -> None:
    """Refuses depth of other views or another size.

    Raises:
        BadInput: it is.
    """
    if depth.shape != (len(cameras), cameras.height, cameras.width):
        raise BadInput(
            f"The depth has the shape {tuple(depth.shape)}.\nExpected that of the views to be decoded: "
            f"{len(cameras)} views of {cameras.height} x {cameras.width} pixels, in the same order."
        )


def check_ring(cameras: Cameras) -> None:
    """Refuses views that do not go once round the object: slots of neighbours would mean something else for each.

    Raises:
        StageMismatch: they do not, in either direction.
    """
    azimuth, _ = cameras.azimuth_elevation_deg()
    steps = (azimuth.roll(-1) - azimuth).round(decimals=2) % 360
    turns = {round(float(turn.sum()) / 360) for turn in (steps, -steps % 360)}
    if 1 not in turns or (steps == 0).any():
        raise StageMismatch(
            f"The views stand at azimuths {[round(float(angle)) for angle in azimuth]} degrees.\n"
            "Expected them in ring order, once round the object in steps of one direction. Sort the generator's views."
        )
