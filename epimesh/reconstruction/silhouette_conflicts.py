"""Where silhouettes agree, nothing lies outside their hull. Where they do not, the hull says too little."""

import numpy as np
from numpy.typing import NDArray

from epimesh.reconstruction.carving import carve
from epimesh.reconstruction.silhouettes import SilhouetteView
from epimesh.rendering.grid_kernels import reaches

NEAR = 0.25  # cells: a ray that passes the hull at this distance counts as reaching it
DOUBT = 1 / 64  # of an image's longer side: as far around a contradicted pixel its neighbours are doubted, too


def outer_bound(seen: list[SilhouetteView], hull: NDArray[np.float32], radius: float) -> NDArray[np.float32]:
    """A lower bound of the distance of every surface that the views allow: the hull, except where they contradict it.

    A pixel that one silhouette calls object, while the others leave nothing on its ray, shows that some of them are
    wrong there. As nothing tells which, the rays of that pixel and of those around it have no bound (minus `radius`).

    Args:
        seen: all images.
        hull: their visual hull, X x X x X over the cube of half side `radius`.
        radius: in scene units.
    """
    axis = np.linspace(-radius, radius, len(hull))
    unbounded = np.full(hull.shape, -np.inf, np.float32)
    for shot in seen:
        doubted = _doubted(shot, hull, radius, NEAR * (axis[1] - axis[0]))
        if doubted.any():
            carve(unbounded, np.stack([axis] * 3), shot.projection, doubted.astype(np.float32), shot.focal)
    return np.where(unbounded > 0, np.float32(-radius), hull)


def _doubted(shot: SilhouetteView, hull: NDArray[np.float32], radius: float, near: float) -> NDArray[np.bool_]:
    """Pixels at and around which the silhouette claims more than the hull holds, H x W."""
    from scipy.ndimage import maximum_filter

    rows, columns = np.nonzero(shot.alpha > 0.5)
    origins, directions = (part[0].numpy()[rows, columns].astype(np.float32) for part in shot.camera.rays())
    missed = np.zeros(shot.alpha.shape, bool)
    missed[rows, columns] = ~reaches(hull, radius, origins, directions, near)
    return maximum_filter(missed, 2 * round(DOUBT * max(missed.shape)) + 1)
