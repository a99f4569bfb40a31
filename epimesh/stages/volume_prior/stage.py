"""The volume prior: a closed, coloured surface from one photo in a second or two."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.diffusion.autoencoder import load_autoencoder
from epimesh.errors import BadInput, StageFailed
from epimesh.photo import Photo
from epimesh.pipeline.contracts import SurfacePrior
from epimesh.runtime import Runtime
from epimesh.stages.read.matting import filled_outside
from epimesh.surface import GridSurface

if TYPE_CHECKING:
    from epimesh.stages.volume_prior.guess import RingGuess
    from epimesh.stages.volume_prior.network import Volume, VolumeNetwork

PIXELS = 128  # per side of the photo that the network sees
_SURELY_OBJECT = 0.9  # coverage of pixels whose colours have nothing of the background
_LOOKED_AT = 192  # pixels per side of the silhouette that the surface is made to show


@dataclass(frozen=True, kw_only=True)
class VolumePrior(SurfacePrior):
    """What the object probably looks like from everywhere, as one volume that sees the photo.

    Args:
        weights: folder or `bundled:NAME` of a VolumeNetwork.
        coarse: weights of the coarse prior whose guess the network starts from.
        autoencoder: weights of the autoencoder whose latents the coarse prior speaks.
        resolution: grid points along each side of the volume.
        threshold: probability from which on a place counts as the object.
        smoothing: of the surface, in cells.
        mirrored: also ask about the mirrored photo, and take the mean.
    """

    weights: str = "bundled:volume-prior"
    coarse: str = "bundled:coarse-prior"
    autoencoder: str = "bundled:patch-vae"
    resolution: int = 128
    threshold: float = 0.5
    smoothing: float = 1.5
    mirrored: bool = True
    weights_settings: ClassVar[tuple[str, ...]] = ("weights", "coarse", "autoencoder")
    version = 3

    def __post_init__(self) -> None:
        if not 32 <= self.resolution <= 384:
            raise BadInput(f"resolution is {self.resolution}, expected 32 to 384.\nUse 128 unless you know better.")
        if not 0 < self.threshold < 1 or not 0 <= self.smoothing <= 8:
            raise BadInput(
                f"threshold is {self.threshold} and smoothing {self.smoothing}; expected 0 to 1 (e.g. .5), and 0 to 8."
            )

    @cached_property
    def network(self) -> "VolumeNetwork":
        """The loaded network."""
        from epimesh.stages.volume_prior.network import load_volume_network  # diffusers takes seconds to import

        return load_volume_network(self.weights)

    @cached_property
    def guess(self) -> "RingGuess":
        """The loaded coarse prior."""
        from epimesh.stages.coarse_prior.network import load_ring_regressor
        from epimesh.stages.volume_prior.guess import RingGuess

        return RingGuess(load_ring_regressor(self.coarse), load_autoencoder(self.autoencoder))

    def __call__(self, photo: Photo, *, runtime: Runtime) -> GridSurface:
        """The surface in the photo's frame. Stages of one run that ask about the same photo share the answer.

        Raises:
            StageFailed: the network sees nothing in the photo.
        """
        return _last_surface(self, photo, runtime.device)

    @torch.inference_mode()
    def surface(self, photo: Photo, device: str) -> GridSurface:
        """The surface, computed."""
        from epimesh.stages.volume_prior.distances import calmed, signed_distances
        from epimesh.stages.volume_prior.network import SIDE
        from epimesh.stages.volume_prior.silhouette import honoured

        small = photo.resized(PIXELS)
        image = small.on_white_with_coverage()[None].to(device)
        elevation = torch.tensor([photo.elevation_deg], device=device)
        volume = self._volume(image, elevation, device)
        logits = self._occupancy(volume) - float(np.log(self.threshold / (1 - self.threshold)))
        # Smoothed before, not after: parts that are made for the photo's thin ones would dissolve.
        logits = honoured(calmed(logits, self.smoothing), photo.resized(min(photo.size, _LOOKED_AT)))
        if not bool((logits > 0).any()):
            raise StageFailed(
                "The volume of this photo is empty: no place is likelier the object than not.\n"
                "Look at cutout.png: is the whole object there? Otherwise set a lower --reconstruct.prior.threshold."
            )
        distances = signed_distances(logits, SIDE / (self.resolution - 1))
        colors = self._colors(volume, small, elevation, distances)
        return GridSurface(distances.clone(), colors, SIDE / 2)

    def _volume(self, image: Float[Tensor, "1 4 S S"], elevation: Float[Tensor, "1"], device: str) -> "Volume":
        """The volume of the photo; the mean with that of the mirrored photo, mirrored back, if asked for."""
        from epimesh.stages.volume_prior.network import Volume

        network, guess = self.network.to(device), self.guess.to(device)
        if not self.mirrored:
            return network(image, guess(image, elevation), elevation)
        images, both = torch.cat([image, image.flip(-1)]), elevation.repeat(2)
        found = network(images, guess(images, both), both)
        return Volume(*((part[:1] + part[1:].flip(-2)) / 2 for part in found))

    def _occupancy(self, volume: "Volume") -> Float[Tensor, "R R R"]:
        from epimesh.stages.volume_prior.grid import grid_points
        from epimesh.stages.volume_prior.network import occupancy_at

        points = grid_points(self.resolution)[None].to(volume.occupancy.device)
        return occupancy_at(volume, points)[0].reshape((self.resolution,) * 3).cpu()

    def _colors(
        self,
        volume: "Volume",
        photo: Photo,
        elevation: Float[Tensor, "1"],
        distances: Float[Tensor, "R R R"],
    ) -> Float[Tensor, "3 R R R"]:
        """Near the surface as the network says, elsewhere as the nearest of these."""
        from scipy.ndimage import distance_transform_edt

        from epimesh.stages.volume_prior.far_side import behind, mirror_symmetry, rim_colors
        from epimesh.stages.volume_prior.grid import grid_points
        from epimesh.stages.volume_prior.network import SIDE, colors_at

        near = distances.abs() < 2.5 * SIDE / (self.resolution - 1)
        points = grid_points(self.resolution)[near.flatten()]

        def seen_in(image: Float[Tensor, "3 S S"]) -> Float[Tensor, "N 3"]:
            on_device = image[None].to(elevation.device), points[None].to(elevation.device)
            return colors_at(volume, on_device[0], elevation, on_device[1])[0].clamp(0, 1).cpu()

        found = seen_in(without_background(photo))
        if (symmetry := mirror_symmetry(photo)) > 0:
            normals = torch.stack([slope[near] for slope in torch.gradient(distances)], dim=1)
            hidden = symmetry * behind(points, normals, photo.camera.centres[0])
            found = found + hidden[:, None] * (seen_in(rim_colors(photo)) - found)
        colors = torch.zeros(*distances.shape, 3)
        colors[near] = found
        nearest = distance_transform_edt(~near.numpy(), return_distances=False, return_indices=True)
        return colors[tuple(torch.from_numpy(part).long() for part in nearest)].permute(3, 0, 1, 2).contiguous()


def without_background(photo: Photo) -> Float[Tensor, "3 S S"]:
    """The object's own colours, continued beyond its outline: on white, its rim would have a pale line."""
    if not (photo.rgba[3] >= _SURELY_OBJECT).any():
        return photo.on_white()
    return filled_outside(photo.rgba[:3], photo.rgba[3], _SURELY_OBJECT)


@lru_cache(maxsize=1)
def _last_surface(prior: VolumePrior, photo: Photo, device: str) -> GridSurface:
    return prior.surface(photo, device)
