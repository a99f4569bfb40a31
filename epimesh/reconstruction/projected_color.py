"""A first colour for a surface: the mean of what the cameras that see a place show there."""

import numpy as np
from numpy.typing import NDArray

from epimesh.reconstruction.silhouettes import SilhouetteView
from epimesh.rendering.grid_kernels import add_view

PHOTO_WEIGHT = 4.0  # the photo is true, the other views are imagined


def projected_colors(
    seen: list[SilhouetteView], field: NDArray[np.float32], radius: float, resolution: int
) -> NDArray[np.float32]:
    """Colours on a grid of `resolution` cells per side over the cube of half side `radius`: 3 x Y x Y x Y.

    Near the surface each camera counts as squarely as it looks at the place; hidden cameras do not. Places that no
    camera sees, and places far from the surface, take the colour of the nearest place that is known.
    """
    from scipy.ndimage import distance_transform_edt

    sums = np.zeros((resolution,) * 3 + (4,), np.float32)
    for shot in seen:
        centre = shot.camera.centres[0].double().numpy()
        towards = -shot.camera.forward[0].double().numpy()
        weight = PHOTO_WEIGHT if shot.is_photo else 1.0
        eye = np.concatenate([towards if shot.camera.orthographic else centre, [float(shot.camera.orthographic)]])
        add_view(sums, field, radius, eye, shot.projection, shot.rgb, weight)
    known = sums[..., 3] > 1e-3
    if not known.any():
        return np.full((3,) + (resolution,) * 3, 0.8, np.float32)
    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    colors = sums[..., :3] / np.maximum(sums[..., 3:], 1e-3)
    return np.ascontiguousarray(colors[tuple(nearest)].transpose(3, 0, 1, 2))
