"""The visual hull as a stage."""

from dataclasses import dataclass

import torch

from epimesh.photo import Photo
from epimesh.pipeline.contracts import Reconstructor
from epimesh.reconstruction.projected_color import projected_colors
from epimesh.reconstruction.silhouettes import SilhouetteView, silhouette_views
from epimesh.reconstruction.thin_part_recovery import recovered
from epimesh.reconstruction.visual_hull import check_grid, object_radius, smoothed, visual_hull
from epimesh.runtime import Runtime
from epimesh.surface import GridSurface
from epimesh.views import Views


@dataclass(frozen=True, kw_only=True)
class VisualHull(Reconstructor):
    """The smoothed intersection of all silhouettes. Cannot show hollows; needs no optimisation.

    Args:
        resolution: cells along each side of the cube around the object.
        smoothing: standard deviation of the final smoothing, in 1/128 of the cube's side.
        underside: where all cameras look down, how deep the unseen underside reaches: 0 is flat, 1 the whole cone below
            the object that no camera sees.
        use_photo: whether the photo counts as one more view.
    """

    resolution: int = 128
    smoothing: float = 1.2
    underside: float = 0.15
    use_photo: bool = True
    version = 2

    def __post_init__(self) -> None:
        check_grid(self.resolution, self.smoothing, self.underside)

    def __call__(self, views: Views, photo: Photo | None, *, runtime: Runtime) -> GridSurface:
        seen = silhouette_views(views, photo if self.use_photo else None, runtime)
        return recovered(self._carved, seen, self.underside, runtime.reporter)

    def _carved(self, seen: list[SilhouetteView]) -> GridSurface:
        radius = object_radius(seen, self.underside)
        hull = visual_hull(seen, radius, self.resolution, self.underside)
        field = smoothed(hull.field, self.smoothing)
        colors = projected_colors(seen, field, radius, max(16, self.resolution // 2))
        return GridSurface(torch.from_numpy(field), torch.from_numpy(colors), radius)
