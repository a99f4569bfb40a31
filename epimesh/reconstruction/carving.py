"""The visual hull as a signed distance on a grid: what every silhouette allows, computed by one pass over the views."""

import numpy as np
from numba import prange

from epimesh.compiled import compiled


@compiled()
def _bilinear(image, u, v):  # type: ignore[no-untyped-def]
    """The image between its pixel centres, continued at its border."""
    height, width = image.shape
    x, y = min(max(u - 0.5, 0.0), width - 1.001), min(max(v - 0.5, 0.0), height - 1.001)
    column, row = int(x), int(y)
    x, y = x - column, y - row
    right, below = min(column + 1, width - 1), min(row + 1, height - 1)
    top = image[row, column] * (1 - x) + image[row, right] * x
    bottom = image[below, column] * (1 - x) + image[below, right] * x
    return top * (1 - y) + bottom * y


@compiled(parallel=True)
def carve(field, axes, projection, distance, focal):  # type: ignore[no-untyped-def]
    """Raises `field` to what one silhouette allows. Points that the image cannot judge stay as they are.

    A point beside the image is judged by the nearest border pixel: outside if that is background, unknown if the
    silhouette is cut off there. Points behind the camera are unknown.

    Args:
        field: X x Y x Z signed distances, changed in place.
        axes: coordinates of the grid along x, y and z, 3 x N.
        projection: 3 x 4, from world points to (u z, v z, z).
        distance: signed distance to the silhouette in pixels.
        focal: focal length in pixels.
    """
    height, width = distance.shape
    for i in prange(field.shape[0]):
        for j in range(field.shape[1]):
            for k in range(field.shape[2]):
                x, y, z = axes[0, i], axes[1, j], axes[2, k]
                depth = projection[2, 0] * x + projection[2, 1] * y + projection[2, 2] * z + projection[2, 3]
                if depth < 1e-6:
                    continue
                u = (projection[0, 0] * x + projection[0, 1] * y + projection[0, 2] * z + projection[0, 3]) / depth
                v = (projection[1, 0] * x + projection[1, 1] * y + projection[1, 2] * z + projection[1, 3]) / depth
                beside = max(max(-u, u - width), max(-v, v - height))
                pixels = _bilinear(distance, u, v)
                if beside > 0:
                    if pixels <= 0:
                        continue
                    pixels += beside
                field[i, j, k] = max(field[i, j, k], np.float32(pixels * depth / focal))
