"""Imagined views, soft where they are unsure, lose thin parts that the photo shows. Then less coverage counts."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from epimesh.reconstruction.silhouette_conflicts import NEAR
from epimesh.reconstruction.silhouettes import SilhouetteView
from epimesh.reconstruction.visual_hull import object_radius, visual_hull
from epimesh.rendering.grid_kernels import reaches
from epimesh.rendering.silhouette import silhouette_distance

SHOWN = 0.85  # of the photo's silhouette has to be there
COVERAGES = (0.4, 0.3)  # that count as the object instead of one half, one after the other
CELLS = 96


def loses_parts(field: NDArray[np.float32], radius: float, seen: list[SilhouetteView]) -> bool:
    """Whether a surface lacks much of what the photo shows. Without a photo it lacks nothing.

    Args:
        field: signed distances, X x X x X over the cube of half side `radius`.
        radius: in scene units.
        seen: all images.
    """
    return any(_share_shown(field, radius, shot) < SHOWN for shot in seen if shot.is_photo)


def with_more_coverage(seen: list[SilhouetteView], underside: float) -> tuple[list[SilhouetteView], float]:
    """The images, those that are not the photo with as much more coverage as their hull needs to hold what it shows.

    Sharp silhouettes stay as they are, whatever counts. Returns also the coverage that became one half.
    """
    photos, views = [shot for shot in seen if shot.is_photo], [shot for shot in seen if not shot.is_photo]
    for counted in COVERAGES:
        raised = [_raised(shot, counted) for shot in views]
        radius = object_radius([*raised, *photos], underside)
        if not loses_parts(visual_hull(raised, radius, CELLS, underside).field, radius, photos):
            break
    return [*raised, *photos], counted


def _raised(shot: SilhouetteView, counted: float) -> SilhouetteView:
    """With a coverage of one half where it was `counted`; none and full coverage stay."""
    alpha = (shot.alpha ** (math.log(0.5) / math.log(counted))).astype(np.float32)
    return replace(shot, alpha=alpha, distance=silhouette_distance(alpha))


def _share_shown(field: NDArray[np.float32], radius: float, photo: SilhouetteView) -> float:
    """How much of the photo's silhouette lies before the surface."""
    rows, columns = np.nonzero(photo.alpha > 0.5)
    origins, directions = (part[0].numpy()[rows, columns].astype(np.float32) for part in photo.camera.rays())
    return float(reaches(field, radius, origins, directions, NEAR * 2 * radius / (len(field) - 1)).mean())
