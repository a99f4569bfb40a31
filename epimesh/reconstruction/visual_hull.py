"""The visual hull: everything that no silhouette forbids. Quick, robust, and the baseline of every reconstruction."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from epimesh.errors import BadInput, StageFailed
from epimesh.reconstruction.silhouettes import SilhouetteView

SEARCH = 0.6  # half side of the cube that is searched for the object, in distances of the nearest camera
SEARCH_CELLS = 72
MARGIN_CELLS = 5  # of empty space around the object
KEPT = 0.3  # of every distance is left by smoothing, so that thin parts and narrow gaps stay


def check_grid(resolution: int, smoothing: float, underside: float) -> None:
    """Refuses settings that no reconstruction can use.

    Raises:
        BadInput: which setting, and what it may be.
    """
    if not 16 <= resolution <= 512:
        raise BadInput(f"resolution is {resolution}, expected 16 to 512.\nUse 128 unless you know better.")
    if not 0 <= smoothing <= 16 or not 0 <= underside <= 1:
        raise BadInput(
            f"smoothing is {smoothing} and underside {underside}; expected 0 to 16, and 0 (flat) to 1 (the whole cone)."
        )


@dataclass(frozen=True, eq=False)
class Hull:
    """The visual hull on a grid over a cube, both ends included.

    Args:
        field: near the hull the distance to the nearest silhouette cone, elsewhere a lower bound; indexed [x, y, z].
        floor: height at which the cone below the object was cut; minus infinity where it was not.
    """

    field: NDArray[np.float32]
    floor: float


def visual_hull(seen: list[SilhouetteView], radius: float, resolution: int, underside: float) -> Hull:
    """The visual hull in the cube of half side `radius`, with `resolution` grid points along each side."""
    from epimesh.reconstruction.carving import carve

    axis = np.linspace(-radius, radius, resolution)
    field = np.full((resolution,) * 3, -np.inf, np.float32)
    for shot in seen:
        carve(field, np.stack([axis] * 3), shot.projection, shot.distance, shot.focal)
    field[np.isneginf(field)] = radius  # no camera looks here
    centre, ball = _ball(seen)
    offsets = np.meshgrid(*(axis - centre[n] for n in range(3)), indexing="ij", sparse=True)
    from_centre = np.sqrt(sum(offset**2 for offset in offsets))
    np.maximum(field, from_centre - ball, out=field, casting="same_kind")
    floor = _floor(seen, field, axis, underside) if underside < 1 else -np.inf
    np.maximum(field, floor - axis, out=field, casting="same_kind")
    return Hull(field, floor)


def object_radius(seen: list[SilhouetteView], underside: float) -> float:
    """Half side of the smallest cube around the origin that holds the object, with a margin.

    Raises:
        StageFailed: the silhouettes have nothing in common.
    """
    radius = SEARCH * min(float(shot.camera.centres.norm()) for shot in seen)
    shown = max((_reach_of(shot) for shot in seen if shot.is_photo), default=0.0)
    for _ in range(2):
        field = visual_hull(seen, radius, SEARCH_CELLS, underside).field
        spacing = 2 * radius / (SEARCH_CELLS - 1)
        inside = np.argwhere(field < 0.87 * spacing)  # half a cell's diagonal: thin parts count
        if len(inside) == 0:
            raise StageFailed(
                f"The silhouettes of the {len(seen)} views have nothing in common, so there is no object to find.\n"
                "Expected views of one object at the origin. Check their cameras, or try other views."
            )
        reach = np.abs(np.linspace(-radius, radius, SEARCH_CELLS)[inside]).max() + spacing
        radius = min(radius, max(float(reach), shown))
    return radius * (1 + 2 * MARGIN_CELLS / 128)


def _reach_of(shot: SilhouetteView) -> float:
    """How far from the image's centre the silhouette reaches, in scene units at the distance of the origin.

    Imagined views may lose parts that the photo shows, such as legs; the cube has to hold them all the same.
    """
    rows, columns = np.nonzero(shot.alpha > 0.5)
    height, width = shot.alpha.shape
    pixels = max(np.abs(rows + 0.5 - height / 2).max(), np.abs(columns + 0.5 - width / 2).max()) + 1
    distance = 1.0 if shot.camera.orthographic else float(shot.camera.centres.norm())
    return float(pixels * distance / shot.focal)


def _ball(seen: list[SilhouetteView]) -> tuple[NDArray[np.floating], float]:
    """A ball that holds the object: no object is taken to be deeper than its largest silhouette is wide.

    Its centre is the point nearest to the rays through the middles of the silhouettes (and, weakly, to the origin).
    """
    system, right_side, reach = np.eye(3) * 1e-3, np.zeros(3), []
    for shot in seen:
        rows, columns = np.nonzero(shot.alpha > 0.5)
        height, width = shot.alpha.shape
        if rows.min() == 0 or columns.min() == 0 or rows.max() == height - 1 or columns.max() == width - 1:
            return np.zeros(3), np.inf  # cut off: its size is not known
        row, column = (rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2
        origins, directions = shot.camera.rays()
        origin, direction = origins[0, row, column].double().numpy(), directions[0, row, column].double().numpy()
        across = np.eye(3) - np.outer(direction, direction)
        system, right_side = system + across, right_side + across @ origin
        reach.append((np.hypot(np.ptp(rows) + 1, np.ptp(columns) + 1) / 2 / shot.focal, shot))
    centre = np.linalg.solve(system, right_side)
    depths = [
        1.0 if shot.camera.orthographic else float(np.append(centre, 1) @ shot.projection[2]) for _, shot in reach
    ]
    return centre, 1.1 * max(half * depth for (half, _), depth in zip(reach, depths, strict=True))


def _floor(
    seen: list[SilhouetteView], field: NDArray[np.float32], axis: NDArray[np.float64], underside: float
) -> float:
    """Height at which the cone below the object is cut, or minus infinity where cameras see the underside.

    Cameras that all look down leave a cone under a standing object. It ends where the width of the hull stops to grow
    with height as the rays of the lowest camera do.
    """
    # The lowest camera bounds the cone.
    heights = torch.cat([shot.camera.azimuth_elevation_deg()[1] for shot in seen])
    camera = seen[int(heights.argmin())].camera.centres[0]
    inside = (field < 0).sum(axis=(0, 1))
    filled = np.nonzero(inside)[0]
    if float(heights.min()) < 5 or len(filled) < 8:
        return -np.inf
    # The width of the hull at every height, as if its slices were discs, and how a cone's would grow.
    spacing, bottom = axis[1] - axis[0], axis[filled[0]]
    width = np.sqrt(inside[filled[0] : filled[-1] + 1] / np.pi) * spacing
    expected = float(torch.hypot(camera[0], camera[1])) / max(float(camera[2]) - bottom, 1e-3)
    slope = (width[3:] - width[:-3]) / (3 * spacing)
    # Where growth falls behind that, the object itself begins; some of the cone below it is left to be.
    ended = np.nonzero(slope < 0.5 * expected)[0]
    rim = int(ended[0]) + 1 if len(ended) else 0
    return float(bottom + rim * spacing - underside * width[rim] / expected)


def smoothed(field: NDArray[np.float32], sigma: float, kept: float = KEPT) -> NDArray[np.float32]:
    """The field without its fine bumps; `sigma` in 1/128 of the side.

    A Gaussian shrinks what is convex and dissolves what is thin. So what it takes away is smoothed once more and given
    back (a kernel of fourth order: curvature stays), and no grid point changes sides, as `kept` of every distance is
    left; with 0 they may.
    """
    from scipy.ndimage import gaussian_filter

    if sigma == 0:
        return field
    cells = sigma * len(field) / 128
    once = gaussian_filter(field, cells, mode="nearest")
    result = once + gaussian_filter(field - once, cells, mode="nearest")
    if kept == 0:
        return result
    return np.where(field < 0, np.minimum(result, kept * field), np.maximum(result, kept * field))
