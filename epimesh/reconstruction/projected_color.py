"""A first colour for a surface: the mean of what the cameras that see a place show there."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from epimesh.reconstruction.compiled import compiled
from epimesh.reconstruction.silhouettes import Shot

PHOTO_WEIGHT = 4.0  # the photo is true, the other views are imagined


def projected_colors(
    seen: list[Shot], field: NDArray[np.float32], radius: float, resolution: int
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
        _add_view(sums, field, radius, eye, shot.projection, shot.rgb, weight)
    known = sums[..., 3] > 1e-3
    if not known.any():
        return np.full((3,) + (resolution,) * 3, 0.8, np.float32)
    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    colors = sums[..., :3] / np.maximum(sums[..., 3:], 1e-3)
    return np.ascontiguousarray(colors[tuple(nearest)].transpose(3, 0, 1, 2))


@compiled()
def _distance(field, radius, x, y, z):  # type: ignore[no-untyped-def]
    """Trilinear distance at a world point."""
    side = field.shape[0]
    scale = (side - 1) / (2 * radius)
    x, y, z = (x + radius) * scale, (y + radius) * scale, (z + radius) * scale
    x, y, z = min(max(x, 0.0), side - 1.001), min(max(y, 0.0), side - 1.001), min(max(z, 0.0), side - 1.001)
    i, j, k = int(x), int(y), int(z)
    a, b, c = x - i, y - j, z - k
    low = (field[i, j, k] * (1 - c) + field[i, j, k + 1] * c) * (1 - b)
    low += (field[i, j + 1, k] * (1 - c) + field[i, j + 1, k + 1] * c) * b
    high = (field[i + 1, j, k] * (1 - c) + field[i + 1, j, k + 1] * c) * (1 - b)
    high += (field[i + 1, j + 1, k] * (1 - c) + field[i + 1, j + 1, k + 1] * c) * b
    return low * (1 - a) + high * a


@compiled()
def _hidden(field, radius, start, towards, spacing):  # type: ignore[no-untyped-def]
    """Whether the surface lies between a place on it and the camera."""
    t = 3 * spacing
    while t < 4 * radius:
        x, y, z = start[0] + t * towards[0], start[1] + t * towards[1], start[2] + t * towards[2]
        if max(abs(x), max(abs(y), abs(z))) > radius:
            return False
        distance = _distance(field, radius, x, y, z)
        if distance < -0.25 * spacing:
            return True
        t += max(distance, 0.75 * spacing)
    return False


@compiled()
def _place_on_surface(field, radius, position, fine, normal, start):  # type: ignore[no-untyped-def]
    """The nearest place on the surface (`start`) and its unit normal, by one step along the gradient."""
    x, y, z = position
    normal[0] = _distance(field, radius, x + fine, y, z) - _distance(field, radius, x - fine, y, z)
    normal[1] = _distance(field, radius, x, y + fine, z) - _distance(field, radius, x, y - fine, z)
    normal[2] = _distance(field, radius, x, y, z + fine) - _distance(field, radius, x, y, z - fine)
    normal /= np.sqrt((normal**2).sum()) + 1e-9
    start[0], start[1], start[2] = x, y, z
    start -= _distance(field, radius, x, y, z) * normal


@compiled()
def _pixel(projection, place, height, width):  # type: ignore[no-untyped-def]
    """Row and column at which a place appears; -1, -1 beside the image or behind the camera."""
    depth = (projection[2, :3] * place).sum() + projection[2, 3]
    if depth < 1e-6:
        return -1, -1
    column = int(np.floor(((projection[0, :3] * place).sum() + projection[0, 3]) / depth))
    row = int(np.floor(((projection[1, :3] * place).sum() + projection[1, 3]) / depth))
    if column < 0 or row < 0 or column >= width or row >= height:
        return -1, -1
    return row, column


@compiled(parallel=True)
def _add_view(sums, field, radius, eye, projection, rgb, view_weight):  # type: ignore[no-untyped-def]
    """Adds one view's weighted colours to the cells near the surface. `eye`: position or direction, and which."""
    cells = sums.shape[0]
    height, width = rgb.shape[:2]
    step = 2 * radius / (cells - 1)
    fine = 2 * radius / (field.shape[0] - 1)
    for i in prange(cells):
        normal, start, towards = np.empty(3), np.empty(3), np.empty(3)
        for j in range(cells):
            for k in range(cells):
                position = (i * step - radius, j * step - radius, k * step - radius)
                if abs(_distance(field, radius, position[0], position[1], position[2])) > 2.5 * step:
                    continue
                _place_on_surface(field, radius, position, fine, normal, start)
                towards[:] = eye[:3] - start * (1 - eye[3])
                towards /= np.sqrt((towards**2).sum()) + 1e-9
                facing = (normal * towards).sum()
                row, column = _pixel(projection, start, height, width)
                if facing < 0.1 or row < 0 or _hidden(field, radius, start, towards, fine):
                    continue
                weight = view_weight * facing * facing
                for channel in range(3):
                    sums[i, j, k, channel] += weight * rgb[row, column, channel]
                sums[i, j, k, 3] += weight
