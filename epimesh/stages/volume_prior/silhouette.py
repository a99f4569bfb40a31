"""Makes an occupancy show what the photo shows: nothing beside the silhouette, something behind each of its pixels."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, maximum_filter
from torch import Tensor

from epimesh.photo import Photo
from epimesh.rendering.silhouette import silhouette_distance
from epimesh.stages.volume_prior.grid import grid_points
from epimesh.stages.volume_prior.network import SIDE
from epimesh.surface import trilinear

STEPS = 160  # along each ray
_STAY_NEAR = 8.0  # logits per scene unit that a filled place loses by its distance from what is next to it
_THINNEST, _THICKEST = 0.008, 0.06  # half thickness of filled places, in scene units
_ROUNDS = 2  # of filling: the second closes gaps between the first and the rest
_SLOPE = 2.0  # logits per cell


class Seen(NamedTuple):
    """Where grid points appear in the photo.

    Args:
        row: of the pixel, 0 to size - 1.
        column: likewise.
        depth: along the optical axis, in scene units.
        beside: distance to the silhouette at that depth, negative inside, in scene units.
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    depth: NDArray[np.float32]
    beside: NDArray[np.float32]


def honoured(logits: Float[Tensor, "R R R"], photo: Photo) -> Float[Tensor, "R R R"]:
    """The occupancy, cut to the photo's silhouette and filled where a ray of the object would meet nothing.

    Args:
        logits: on the grid of the photo's frame.
        photo: at the resolution that its silhouette is looked at with.
    """
    alpha = photo.rgba[3].numpy()
    seen = _seen(photo, silhouette_distance(alpha), len(logits))
    spacing = SIDE / (len(logits) - 1)
    filled = logits.numpy()
    for _ in range(_ROUNDS):
        filled = _filled(torch.from_numpy(filled), photo, alpha, seen, spacing)
    outer = np.where(seen.beside > -spacing, -_SLOPE * seen.beside / spacing, np.inf)
    return torch.from_numpy(np.minimum(filled, outer).astype(np.float32))


def _seen(photo: Photo, distance_px: NDArray[np.float32], resolution: int) -> Seen:
    points = grid_points(resolution).reshape(resolution, resolution, resolution, 3)
    pixels, depth = photo.camera.project(points)
    column, row = (part.numpy() for part in pixels[..., 0, :].unbind(-1))
    z = depth[..., 0].numpy()
    focal = float(photo.camera.intrinsics[0, 0, 0])
    inner_row, inner_column = (np.clip(part, 0.5, photo.size - 0.5) for part in (row, column))
    outside = np.hypot(row - inner_row, column - inner_column)
    px = bilinear(distance_px, inner_row - 0.5, inner_column - 0.5) + outside
    return Seen(inner_row.astype(np.int64), inner_column.astype(np.int64), z, (px * z / focal).astype(np.float32))


def bilinear(image: NDArray[np.float32], row: NDArray[np.float32], column: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values between pixels; `row` and `column` are 0 at the first pixel's centre."""
    from scipy.ndimage import map_coordinates

    return map_coordinates(image, [row, column], order=1, mode="nearest", output=np.float32)


def _filled(
    logits: Float[Tensor, "R R R"], photo: Photo, alpha: NDArray[np.float32], seen: Seen, spacing: float
) -> NDArray[np.float32]:
    """Where the object's pixels meet nothing, the likeliest place on the ray becomes as thick as the part is wide."""
    solid = alpha > 0.5
    along, depth = _along_rays(logits, photo, solid)
    hit = (along > 0).any(1)
    if hit.all() or not len(along):
        return logits.numpy()
    first = depth[np.argmax(along > 0, axis=1)]
    place = np.full(alpha.shape, np.nan, np.float32)
    rows, columns = np.nonzero(solid)
    place[rows[hit], columns[hit]] = first[hit]
    around = _nearest_known(place) if hit.any() else np.full(alpha.shape, 1.5, np.float32)
    likely = along - _STAY_NEAR * np.abs(depth[None] - around[rows, columns][:, None])
    best = depth[np.argmax(likely, axis=1)]
    place[rows[~hit], columns[~hit]] = best[~hit]
    missing = np.zeros(alpha.shape, bool)
    missing[rows[~hit], columns[~hit]] = True
    calm = gaussian_filter(np.where(np.isnan(place), _nearest_known(place), place), 1.5)
    focal = float(photo.camera.intrinsics[0, 0, 0])
    # Parts are as thick as they are wide, measured in their middle.
    width = maximum_filter(distance_transform_edt(solid), 5)
    half = np.clip(width * 1.5 / focal, max(_THINNEST, 0.8 * spacing), _THICKEST)
    here = (seen.row, seen.column)
    value = _SLOPE * (half[here] - np.abs(seen.depth - calm[here])) / spacing
    return np.where(missing[here], np.maximum(logits.numpy(), value), logits.numpy()).astype(np.float32)


def _along_rays(
    logits: Float[Tensor, "R R R"], photo: Photo, solid: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits along the rays of the object's pixels, rays x steps, and the depth of every step."""
    camera, pose = photo.camera, photo.camera.world_to_camera[0]
    focal, rows_columns = float(camera.intrinsics[0, 0, 0]), torch.from_numpy(np.argwhere(solid))
    plane = (rows_columns.flip(1) + 0.5 - photo.size / 2) / focal
    depth = float(pose[2, 3]) + torch.linspace(-SIDE * 0.75, SIDE * 0.75, STEPS)
    own = torch.cat([plane, torch.ones(len(plane), 1)], dim=1)[:, None] * depth[:, None]
    points = (own - pose[:3, 3]) @ pose[:3, :3]
    values = trilinear(logits[None], points.reshape(-1, 3) / (SIDE / 2))[:, 0].reshape(len(plane), STEPS)
    inside = (points.abs() < SIDE / 2).all(-1)
    return torch.where(inside, values, -20.0).numpy(), depth.numpy()


def _nearest_known(place: NDArray[np.float32]) -> NDArray[np.float32]:
    index = distance_transform_edt(np.isnan(place), return_distances=False, return_indices=True)
    return place[tuple(index)]
