"""Imagined views, soft where they are unsure, lose thin parts that the photo shows. Then less coverage counts."""

import math
from dataclasses import replace

import numpy as np

from epimesh.grid_rays import reaches
from epimesh.reconstruction.agreement import NEAR
from epimesh.reconstruction.silhouettes import Shot, silhouette_distance
from epimesh.reconstruction.visual_hull import object_radius, visual_hull
from epimesh.runtime import Runtime

SHOWN = 0.85  # of the photo's silhouette has to be in the hull of the other views
COVERAGES = (0.5, 0.4, 0.3)  # that count as the object, one after the other
CELLS = 96


def with_shown_parts(seen: list[Shot], underside: float, runtime: Runtime) -> list[Shot]:
    """The images; those that are not the photo with more coverage, if their hull lacks much of what the photo shows.

    Sharp silhouettes stay as they are, whatever counts. Without a photo nothing changes.
    """
    photos, views = [shot for shot in seen if shot.is_photo], [shot for shot in seen if not shot.is_photo]
    if not photos or not views:
        return seen
    counted, best = COVERAGES[0], seen
    for counted in COVERAGES:
        raised = [_raised(shot, counted) for shot in views]
        best = [*raised, *photos]
        if _share_shown(raised, photos[0], object_radius(best, underside), underside) >= SHOWN:
            break
    if counted == COVERAGES[0]:
        return seen
    runtime.reporter.note(f"The views lose thin parts that the photo shows, so coverage of {counted:g} counts, not .5.")
    return best


def _raised(shot: Shot, counted: float) -> Shot:
    """With a coverage of one half where it was `counted`; none and full coverage stay."""
    if counted == COVERAGES[0]:
        return shot
    alpha = (shot.alpha ** (math.log(0.5) / math.log(counted))).astype(np.float32)
    return replace(shot, alpha=alpha, distance=silhouette_distance(alpha))


def _share_shown(views: list[Shot], photo: Shot, radius: float, underside: float) -> float:
    """How much of the photo's silhouette lies before the hull of the views."""
    hull = visual_hull(views, radius, CELLS, underside).field
    rows, columns = np.nonzero(photo.alpha > 0.5)
    origins, directions = (part[0].numpy()[rows, columns].astype(np.float32) for part in photo.camera.rays())
    return float(reaches(hull, radius, origins, directions, NEAR * 2 * radius / (CELLS - 1)).mean())
