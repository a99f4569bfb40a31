"""Imagined views, soft where they are unsure, lose thin parts that the photo shows. Then less coverage counts."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epimesh.reconstruction.silhouette_conflicts import NEAR
from epimesh.reconstruction.silhouettes import SilhouetteView
from epimesh.reconstruction.visual_hull import object_radius, visual_hull
from epimesh.rendering.grid_kernels import reaches
from epimesh.rendering.silhouette import silhouette_distance
from epimesh.runtime import Reporter
from epimesh.surface import GridSurface

SHOWN = 0.95  # of the photo's silhouette has to be there
WORTH = 0.01  # of it that more coverage has to bring back
COVERAGES = (0.4, 0.3)  # that count as the object instead of one half, one after the other
CELLS = 96


def recovered(
    make: Callable[[list[SilhouetteView]], GridSurface],
    seen: list[SilhouetteView],
    underside: float,
    reporter: Reporter,
) -> GridSurface:
    """The surface that `make` finds in the images; made again with more coverage if it lacks what the photo shows.

    Whichever of the two shows more is kept. Nothing is made again where more coverage cannot help, as with sharp views.
    """
    surface = make(seen)
    shown = share_shown(surface.distances.numpy(), surface.radius, seen)
    if shown >= SHOWN:
        return surface
    raised = with_more_coverage(seen, underside)
    if raised.shown < shown + WORTH:
        return surface
    again = make(raised.seen)
    if share_shown(again.distances.numpy(), again.radius, seen) < shown + WORTH:
        return surface
    reporter.note(
        f"The surface had {shown:.0%} of what the photo shows: coverage of {raised.counted:g} counts as object now."
    )
    return again


class Raised(NamedTuple):
    """Images of which more counts as object.

    Args:
        seen: the images.
        counted: the coverage that became one half.
        shown: how much of the photo's silhouette the hull of the others holds now.
    """

    seen: list[SilhouetteView]
    counted: float
    shown: float


def with_more_coverage(seen: list[SilhouetteView], underside: float) -> Raised:
    """The images, those that are not the photo with as much more coverage as their hull needs to hold what it shows.

    Sharp silhouettes stay as they are, whatever counts.
    """
    photos, views = [shot for shot in seen if shot.is_photo], [shot for shot in seen if not shot.is_photo]
    for counted in COVERAGES:
        raised = [_raised(shot, counted) for shot in views]
        radius = object_radius([*raised, *photos], underside)
        shown = share_shown(visual_hull(raised, radius, CELLS, underside).field, radius, photos)
        if shown >= SHOWN:
            break
    return Raised([*raised, *photos], counted, shown)


def share_shown(field: NDArray[np.float32], radius: float, seen: list[SilhouetteView]) -> float:
    """How much of the photo's silhouette lies before the surface. Without a photo nothing is missing: 1.

    Args:
        field: signed distances, X x X x X over the cube of half side `radius`.
        radius: in scene units.
        seen: all images.
    """
    return min((_share_shown(field, radius, shot) for shot in seen if shot.is_photo), default=1.0)


def _raised(shot: SilhouetteView, counted: float) -> SilhouetteView:
    """With a coverage of one half where it was `counted`; none and full coverage stay."""
    alpha = (shot.alpha ** (math.log(0.5) / math.log(counted))).astype(np.float32)
    return replace(shot, alpha=alpha, distance=silhouette_distance(alpha))


def _share_shown(field: NDArray[np.float32], radius: float, photo: SilhouetteView) -> float:
    """How much of the photo's silhouette lies before the surface."""
    rows, columns = np.nonzero(photo.alpha > 0.5)
    origins, directions = (part[0].numpy()[rows, columns].astype(np.float32) for part in photo.camera.rays())
    return float(reaches(field, radius, origins, directions, NEAR * 2 * radius / (len(field) - 1)).mean())
