"""A closed surface as a signed distance and a colour that one can query and render.

Signed distance is negative inside, in scene units. Whatever reconstructs an object hands over a `Surface`; meshing,
coarse depth and refinement need nothing else.
"""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.artifact import Artifact
from epimesh.cameras import Cameras
from epimesh.checked import checked
from epimesh.views import Views


class Surface(Artifact):
    """Base of all surfaces. Everything outside the cube of half side `radius` is empty."""

    radius: float

    @abstractmethod
    def sdf(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N"]:
        """Signed distance at world points, negative inside, in scene units."""

    @abstractmethod
    def color(self, points: Float[Tensor, "N 3"], directions: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """sRGB colour at world points seen along unit `directions`."""

    def sdf_grid(self, resolution: int) -> Float[Tensor, "R R R"]:
        """Signed distances on a regular grid over the cube, indexed [x, y, z], both ends included."""
        axis = torch.linspace(-self.radius, self.radius, resolution)
        grid = torch.empty(resolution, resolution, resolution)
        for index, x in enumerate(axis):
            points = torch.stack(torch.meshgrid(x[None], axis, axis, indexing="ij"), dim=-1)
            grid[index] = self.sdf(points.reshape(-1, 3)).reshape(resolution, resolution)
        return grid

    def render(self, cameras: Cameras, steps: int = 96) -> Views:
        """Images, coverage, depth and normals, by marching every ray to the first zero crossing."""
        from epimesh.rendering.sphere_tracing import march

        return march(self, cameras, steps)

    def first_crossings(
        self, origins: Float[Tensor, "N 3"], directions: Float[Tensor, "N 3"], steps: int
    ) -> Float[Tensor, "N"]:
        """Length along each ray to the first place where the distance is not positive; infinite where there is none."""
        from epimesh.rendering.sphere_tracing import first_crossings

        return first_crossings(self, origins, directions, steps)


@checked
@dataclass(frozen=True, eq=False, repr=False)
class GridSurface(Surface):
    """A signed distance and a colour on regular grids over the cube, trilinear in between.

    Args:
        distances: indexed [x, y, z]; samples at both ends of every axis.
        colors: sRGB, same layout; may be coarser.
        radius: half side of the cube, in scene units.
    """

    distances: Float[Tensor, "X X X"]
    colors: Float[Tensor, "3 Y Y Y"]
    radius: float

    def sdf(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N"]:
        """Trilinear in the grid; outside the cube the distance at its border."""
        return trilinear(self.distances[None], points / self.radius)[:, 0]

    def color(self, points: Float[Tensor, "N 3"], directions: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Trilinear in the grid; does not depend on the direction."""
        return trilinear(self.colors, points / self.radius).clamp(0, 1)

    def first_crossings(
        self, origins: Float[Tensor, "N 3"], directions: Float[Tensor, "N 3"], steps: int
    ) -> Float[Tensor, "N"]:
        """The same, compiled: many times as fast as asking for the distances of all rays, step after step."""
        from epimesh.rendering import grid_kernels
        from epimesh.rendering.sphere_tracing import REFINEMENTS, cube_span, shortest_step

        near, far = cube_span(origins, directions, self.radius)
        rays = [part.float().cpu().contiguous().numpy() for part in (origins, directions, near, far)]
        field, least = self.distances.float().cpu().contiguous().numpy(), shortest_step(self.radius, steps)
        found = torch.from_numpy(grid_kernels.first_crossings(field, self.radius, *rays, least, REFINEMENTS))
        return torch.where(found >= 0, found, torch.inf).to(origins)


def trilinear(grid: Float[Tensor, "C X Y Z"], positions: Float[Tensor, "N 3"]) -> Float[Tensor, "N C"]:
    """Samples a grid indexed [x, y, z] at positions in [-1, 1]^3 (the ends are the outermost samples)."""
    zyx = positions.flip(-1)[None, None, None]
    sampled = torch.nn.functional.grid_sample(grid[None], zyx, align_corners=True, padding_mode="border")
    return sampled[0, :, 0, 0].T
