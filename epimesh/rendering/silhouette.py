"""Silhouettes as signed distances."""

import numpy as np
from numpy.typing import NDArray


def silhouette_distance(alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    """Signed distance to the line of coverage one half, in pixels, negative inside; finer than a pixel where soft."""
    from scipy.ndimage import distance_transform_edt

    inside = alpha > 0.5
    if inside.all():
        return np.full(alpha.shape, -float(max(alpha.shape)), np.float32)
    outward = distance_transform_edt(~inside) - 0.5
    inward = distance_transform_edt(inside) - 0.5
    distance = np.where(inside, -inward, outward)
    soft = (alpha > 0.02) & (alpha < 0.98) & (np.abs(distance) < 1)
    return np.where(soft, 0.5 - alpha, distance).astype(np.float32)
