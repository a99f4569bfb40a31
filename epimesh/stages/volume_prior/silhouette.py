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
_STAY_NEAR = 40.0  # logits per scene unit that a filled place loses by its distance from what is next to it
_THINNEST, _THICKEST = 0.008, 0.06  # half depth of what is filled, in scene units
_ROUNDS = 2  # of filling: the second closes gaps between the first and the rest
_SLOPE = 2.0  # logits per cell
_CLEAR = 0.3  # logits: what a ray of the object has to meet
_CLIPPED, _CALM = 4.0, 1.2  # logits, and the deviation of the last smoothing in cells
_THIN_PX = 4.0  # half depth up to which nothing is smoothed
_BLUR_PX = 1.5  # of what is added, so that it has no edges of its own


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
    seen = _seen(photo, gaussian_filter(silhouette_distance(alpha), 0.7), len(logits))
    spacing = SIDE / (len(logits) - 1)
    half_px = _half_depth(alpha > 0.5)
    filled = logits.numpy()
    for _ in range(_ROUNDS):
        filled = _lifted(torch.from_numpy(filled), photo, seen, half_px, spacing)
    outer = np.where(seen.beside > -2 * spacing, -_SLOPE * seen.beside / spacing, np.inf)
    return torch.from_numpy(_calmed(np.minimum(filled, outer), half_px, seen))


def _calmed(logits: NDArray[np.float32], half_px: NDArray[np.float32], seen: Seen) -> NDArray[np.float32]:
    """Without the roughness that the pixels of the outline have left; thin parts, which would dissolve, stay."""
    smooth = gaussian_filter(np.clip(logits, -_CLIPPED, _CLIPPED), _CALM)
    thick = np.clip((maximum_filter(half_px, 9) - _THIN_PX) / _THIN_PX, 0, 1)
    share = gaussian_filter(thick, _BLUR_PX)[seen.row, seen.column]
    return (logits + share * (smooth - logits)).astype(np.float32)


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


def _lifted(
    logits: Float[Tensor, "R R R"], photo: Photo, seen: Seen, half_px: NDArray[np.float32], spacing: float
) -> NDArray[np.float32]:
    """Raised around the likeliest place of each ray of the object that meets too little.

    Raised, not joined with new pieces: where the volume's outline lies a little within the photo's, its rim grows
    smoothly, and only where the volume has nothing at all a part becomes as deep as it is wide.
    """
    solid = photo.rgba[3].numpy() > 0.5
    along, depth = _along_rays(logits, photo, solid)
    if not len(along):
        return logits.numpy()
    lack = np.clip(_CLEAR - along.max(1), 0, None)
    if not lack.any():
        return logits.numpy()
    missing = _image(solid, lack)
    added = gaussian_filter(maximum_filter(_nearest_known(missing), 3), _BLUR_PX)
    centre = _image(solid, _likeliest(along, depth, solid))
    centre = gaussian_filter(_nearest_known(centre), 2 * _BLUR_PX)
    focal = float(photo.camera.intrinsics[0, 0, 0])
    half = np.clip(half_px * 1.5 / focal, max(_THINNEST, 0.8 * spacing), _THICKEST)
    touched = added[seen.row, seen.column] > 0.01
    here = (seen.row[touched], seen.column[touched])
    # A bell that is above its nine tenths for half the depth to either side.
    bell = np.exp(-0.1 * ((seen.depth[touched] - centre[here]) / half[here]) ** 2)
    raised = logits.numpy().copy()
    raised[touched] += added[here] * bell
    return raised


def _likeliest(along: NDArray[np.float32], depth: NDArray[np.float32], solid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The depth where each ray of the object is deepest inside; of rays that meet nothing, one near others'."""
    found = depth[np.argmax(along, axis=1)]
    hit = along.max(1) > 0
    if hit.all() or not hit.any():
        return found
    around = _nearest_known(_image(solid, np.where(hit, found, np.nan)))[solid]
    likely = along[~hit] - _STAY_NEAR * np.abs(depth[None] - around[~hit, None])
    found[~hit] = depth[np.argmax(likely, axis=1)]
    return found


def _half_depth(solid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Of a solid as deep as it is wide everywhere, with round edges, in pixels."""
    beside = distance_transform_edt(solid).astype(np.float32)
    radius = np.where(solid, 1.0, 0.0).astype(np.float32)
    for wide in (2, 3, 4, 6, 8, 12, 16, 24):
        within = beside >= wide
        if not within.any():
            break
        radius[distance_transform_edt(~within) < wide] = wide
    return np.sqrt(np.clip(radius**2 - np.clip(radius - beside, 0, None) ** 2, 0, None))


def _image(solid: NDArray[np.bool_], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values of the object's pixels in their places, elsewhere not known."""
    image = np.full(solid.shape, np.nan, np.float32)
    image[solid] = values
    return image


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
