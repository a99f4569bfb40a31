"""The rays worth rendering: those through and near the silhouettes, in a reproducible shuffled order."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from epimesh.reconstruction.neus.rays import Rays
from epimesh.reconstruction.silhouettes import SilhouetteView

RIM = 0.06  # of the image's longer side: how far outside the silhouette rays still matter
MAX_RAYS = 1_500_000
TILE = 8  # pixels
GRAZING = 0.1  # cosine between ray and normal below which the normal says little


@dataclass(frozen=True, eq=False)
class RayPool:
    """All rays, neighbours beside each other, and the random order in which they are taken."""

    rays: Rays
    order: NDArray[np.int64]

    def batch(self, iteration: int, size: int) -> Rays:
        """The next `size` rays, cyclically; always the same for the same iteration.

        They are sorted by where they are in the images: neighbours touch the same cells, which is easier on the cache.
        """
        chosen = np.sort(self.order[np.arange(iteration * size, iteration * size + size) % len(self.order)])
        return Rays(*(column[chosen] for column in self.rays))


def ray_pool(seen: list[SilhouetteView], photo_weight: float, generator: torch.Generator) -> RayPool:
    """Rays of all images. The photo's count `photo_weight` times.

    Of many images only the rays that are ever taken are made: those of a hundred photos would fill a gigabyte.
    """
    places = [_near_silhouette(shot) for shot in seen]
    ends = np.cumsum([len(pixels) for pixels in places])
    order = torch.randperm(int(ends[-1]), generator=generator)[:MAX_RAYS].clone().numpy()
    taken = np.sort(order)
    parts = []
    for shot, pixels, end in zip(seen, places, ends, strict=True):
        first = end - len(pixels)
        own = taken[np.searchsorted(taken, first) : np.searchsorted(taken, end)] - first
        parts.append(_rays_of(shot, pixels[own], photo_weight if shot.is_photo else shot.weight))
    joined = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
    return RayPool(Rays(*joined), np.searchsorted(taken, order))


def _near_silhouette(shot: SilhouetteView) -> NDArray[np.int32]:
    """The pixels whose rays matter, tile by tile, counted row by row."""
    rows, columns = np.nonzero(shot.distance < RIM * max(shot.alpha.shape))
    tiled = np.lexsort((columns, rows, columns // TILE, rows // TILE))
    return (rows * shot.alpha.shape[1] + columns)[tiled].astype(np.int32)


def _rays_of(shot: SilhouetteView, pixels: NDArray[np.int32], weight: float) -> tuple[NDArray[np.float32], ...]:
    rows, columns = np.divmod(pixels, shot.alpha.shape[1])
    origins, directions = shot.camera.rays()
    target = np.concatenate([shot.rgb, shot.alpha[..., None]], axis=-1)[rows, columns]
    along = directions[0].numpy()[rows, columns].astype(np.float32)
    facing = np.zeros((len(target), 4), np.float32)
    if shot.normals is not None and weight > 0:  # what counts nothing says nothing of which normals fit worst
        facing = _facing(shot.normals[rows, columns], along)
    return (
        origins[0].numpy()[rows, columns].astype(np.float32),
        along,
        target.astype(np.float32),
        np.full(len(target), weight, np.float32),
        facing,
    )


def _facing(normals: NDArray[np.float32], along: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normals, R x 3, and how much each counts: the more, the more it faces the camera; nothing if it hardly does.

    Source:
        Long et al., "Wonder3D" (arXiv:2310.15008), section 4.3: exp of the cosine; here divided by e, so at most 1.
    """
    cosine = -(normals * along).sum(-1)
    return np.column_stack([normals, np.where(cosine > GRAZING, np.exp(cosine - 1), 0)]).astype(np.float32)
