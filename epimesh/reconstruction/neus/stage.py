"""NeuS as a stage: starts from the visual hull, and refines it from coarse to fine until it shows the views."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from epimesh.errors import BadInput
from epimesh.photo import Photo
from epimesh.pipeline.contracts import Reconstructor
from epimesh.reconstruction.neus.engine import engine
from epimesh.reconstruction.neus.fit import Schedule, fit
from epimesh.reconstruction.neus.ray_pool import RayPool, ray_pool
from epimesh.reconstruction.projected_color import projected_colors
from epimesh.reconstruction.silhouette_conflicts import outer_bound
from epimesh.reconstruction.silhouettes import SilhouetteView, silhouette_views
from epimesh.reconstruction.thin_part_recovery import recovered
from epimesh.reconstruction.visual_hull import check_grid, object_radius, smoothed, visual_hull
from epimesh.runtime import Runtime
from epimesh.surface import GridSurface
from epimesh.views import Views

LEVELS = (0.375, 0.625, 1.0)  # grid points of each level, as parts of `resolution`
SHARES = (0.3, 0.3, 0.4)  # of the iterations
SLACK = 0.5  # cells that the surface may leave the silhouettes' hull by, where they agree
DOUBTED_SMOOTHING = 2.0  # in 1/128 of the cube's side, where imagined views do not agree


@dataclass(frozen=True, kw_only=True)
class NeuS(Reconstructor):
    """Volume rendering of a signed distance that is fitted to the views (Wang et al. 2021), on a dense grid.

    A quick fit is `resolution=80, iterations=200, rays=2048`.

    Args:
        resolution: cells along each side of the cube around the object, at the finest of three levels.
        iterations: in total.
        rays: per iteration.
        smoothing: standard deviation of the final smoothing, in 1/128 of the cube's side.
        color_weight: how much colours count, next to 1 of coverage. Imagined views agree about colours less than about
            outlines; what they disagree about becomes bumps.
        photo_weight: how much a ray of the photo counts, next to 1 of an imagined view; 0 leaves the photo out.
        normal_weight: how much normals count where the views have them: those of Wonder3D, or of posed views.
        normal_outliers: share of the normals that is left out, those that fit worst (Wonder3D's outlier dropping).
        view_weights: how much each view counts; none for all alike. Wonder3D trusts its front and back most.
        underside: where all cameras look down, how deep the unseen underside reaches: 0 is flat, 1 the whole cone below
            the object that no camera sees.
    """

    resolution: int = 128
    iterations: int = 650
    rays: int = 4096
    smoothing: float = 1.6
    color_weight: float = 1.0
    photo_weight: float = 3.0
    normal_weight: float = 3.0
    normal_outliers: float = 0.2
    view_weights: tuple[float, ...] = ()
    underside: float = 0.15
    version = 3

    def __post_init__(self) -> None:
        check_grid(self.resolution, self.smoothing, self.underside)
        weights = (self.color_weight, self.photo_weight, self.normal_weight, *self.view_weights)
        if min(self.iterations, *weights) < 0 or self.rays < 1 or not 0 <= self.normal_outliers < 1:
            raise BadInput(
                f"iterations is {self.iterations}, rays {self.rays}, color_weight {self.color_weight}, photo_weight "
                f"{self.photo_weight}, normal_weight {self.normal_weight}, view_weights {self.view_weights}, "
                f"normal_outliers {self.normal_outliers}.\n"
                "Expected no negative numbers, at least one ray, and a share of outliers below 1."
            )

    def __call__(self, views: Views, photo: Photo | None, *, runtime: Runtime) -> GridSurface:
        seen = silhouette_views(views, photo if self.photo_weight > 0 else None, runtime, self.view_weights)
        return recovered(
            lambda images: self._fitted(images, photo is not None, runtime), seen, self.underside, runtime.reporter
        )

    def _fitted(self, seen: list[SilhouetteView], imagined: bool, runtime: Runtime) -> GridSurface:
        """The surface that these images show."""
        # Where the object is, how fine the grids get, and which rays are compared with the images.
        radius = object_radius(seen, self.underside)
        sides = [max(16, round(self.resolution * part)) for part in LEVELS]
        pool = ray_pool(seen, self.photo_weight, runtime.generator("neus rays"))
        # The hull is where the surface begins; beyond the outer bound no image allows it.
        hull = visual_hull(seen, radius, self.resolution, self.underside)
        bound = outer_bound(seen, hull.field, radius)
        # Beside a photo views are imagined, and what they contradict each other about is noise. True views
        # contradict each other only where things are thinner than pixels.
        noisy = (bound <= -radius).astype(np.float32) if imagined else np.zeros_like(bound)
        # From coarse to fine: signed distance first, then three colours.
        hulls = [resampled(hull.field[None], side) for side in sides]
        grid = np.concatenate([hulls[0], projected_colors(seen, hull.field, radius, sides[0])])
        for level, side in enumerate(sides):
            if level > 0:
                detail = hulls[level] - resampled(hulls[level - 1], side)  # thin parts that a coarse grid cannot hold
                grid = resampled(grid, side)
                grid[:1] += detail
            doubted = resampled(noisy[None], side)[0] > 0
            grid = self._refined(grid, doubted, radius, level, pool, runtime)
            # Nothing seen holds the underside in place, except parts that the photo shows and other views have lost.
            below = np.where(doubted, -np.inf, hull.floor - np.linspace(-radius, radius, side))
            outside = resampled(bound[None], side)[0] - np.float32(SLACK * 2 * radius / (side - 1))
            grid[0] = np.maximum(grid[0], np.maximum(outside, below)).astype(np.float32)
        # What rays carve is rough at the size of a cell; more so where imagined views contradict each other.
        surface = smoothed(grid[0], self.smoothing)
        if doubted.any():
            surface = _blended(surface, smoothed(grid[0], DOUBTED_SMOOTHING, kept=0.0), doubted)
        return GridSurface(torch.from_numpy(surface), torch.from_numpy(grid[1:].clip(0, 1)), radius)

    def _refined(
        self,
        grid: NDArray[np.float32],
        doubted: NDArray[np.bool_],
        radius: float,
        level: int,
        pool: RayPool,
        runtime: Runtime,
    ) -> NDArray[np.float32]:
        """The 4 x X x X x X grid after one level of optimisation."""
        side = grid.shape[1]
        iterations = round(self.iterations * SHARES[level])
        schedule = Schedule(
            iterations=iterations,
            rays=self.rays,
            rgb_weight=self.color_weight,
            normal_weight=self.normal_weight if (pool.rays.facing[:, 3] > 0).any() else 0.0,
            normal_outliers=self.normal_outliers,
        )
        cells = np.ascontiguousarray(grid.reshape(4, -1).T)
        model = engine(cells, side, radius, self.rays, runtime.device)
        steps = fit(model, pool, schedule, seed=level, doubted=doubted.ravel())
        for _ in runtime.reporter.track(steps, f"level {level + 1} of {len(SHARES)}", schedule.iterations):
            pass
        return np.ascontiguousarray(model.values().T.reshape(grid.shape))


def _blended(
    first: NDArray[np.float32], second: NDArray[np.float32], where_second: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """One grid in most places, the other where it is asked for, with soft borders of about two cells."""
    from scipy.ndimage import gaussian_filter

    share: NDArray[np.float32] = gaussian_filter(where_second.astype(np.float32), 2.0)
    return first + share * (second - first)


def resampled(grid: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """A C x X x X x X grid at another number of points per side, trilinear; both ends stay."""
    if grid.shape[1] == side:
        return grid
    size = (side,) * 3
    finer = torch.nn.functional.interpolate(torch.from_numpy(grid)[None], size, mode="trilinear", align_corners=True)
    return finer[0].numpy()
