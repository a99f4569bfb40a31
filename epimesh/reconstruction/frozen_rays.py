"""Rays through a surface that does not move: where colour comes from along each, and how much.

Whatever is composited with these weights, colour, latents, or any other feature, is composited alike:
F(ray) = sum_i w_i f(x_i), and the background gets 1 - sum_i w_i.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.errors import BadInput
from epimesh.reconstruction.neus.kernel import Optics
from epimesh.reconstruction.neus.torch_render import look_up, march, section_weights
from epimesh.surface import GridSurface, Surface

BAND = 2.0  # cells on either side of the surface in which a ray is looked at
STEP = 0.5  # cells between two samples
SHARPNESS = 4.0  # of the logistic function, per cell: two cells inside, a ray has lost all but .03 %
LEAST = 1e-4  # weights below it are dropped
CHUNK = 32_768  # rays at a time


@dataclass(frozen=True, eq=False)
class FrozenRays:
    """The M samples of all rays of V views that weigh anything.

    Args:
        points: world positions of the samples.
        directions: unit, of their rays.
        weights: of the samples, w_i.
        ray: the ray of every sample, counted over views, rows and columns.
        cameras: of the views; there is a ray per pixel.
    """

    points: Float[Tensor, "M 3"]
    directions: Float[Tensor, "M 3"]
    weights: Float[Tensor, "M"]
    ray: Int[Tensor, "M"]
    cameras: Cameras

    @property
    def coverage(self) -> Float[Tensor, "V 1 H W"]:
        """Sum of the weights."""
        return self._image(self.weights[:, None])

    def composite(
        self, values: Float[Tensor, "M C"], background: Float[Tensor, "C"] | float = 1.0
    ) -> Float[Tensor, "V C H W"]:
        """Images of what the samples show, differentiable by it.

        Args:
            values: of the samples.
            background: what rays end in that meet nothing.
        """
        behind = (1 - self.coverage) * torch.as_tensor(background, dtype=values.dtype).reshape(-1, 1, 1)
        return self._image(self.weights[:, None] * values) + behind

    def of_views(self, views: list[int]) -> "FrozenRays":
        """Those of some views, in the given order."""
        size = self.cameras.height * self.cameras.width
        chosen = [(self.ray // size == view).nonzero()[:, 0] for view in views]
        ray = torch.cat([self.ray[some] % size + number * size for number, some in enumerate(chosen)])
        rows = torch.cat(chosen)
        return FrozenRays(self.points[rows], self.directions[rows], self.weights[rows], ray, self.cameras[views])

    def _image(self, weighted: Float[Tensor, "M C"]) -> Float[Tensor, "V C H W"]:
        shape = (len(self.cameras), self.cameras.height, self.cameras.width)
        total = weighted.new_zeros(shape[0] * shape[1] * shape[2], weighted.shape[1])
        return total.index_add(0, self.ray, weighted).reshape(*shape, -1).permute(0, 3, 1, 2)


def as_grid(surface: Surface, what: str) -> GridSurface:
    """The surface, if it is a grid with colours.

    Raises:
        BadInput: it is of another kind.
    """
    if not isinstance(surface, GridSurface):
        raise BadInput(
            f"{what} was given a {type(surface).__name__}, which keeps no grid of colours to work on.\n"
            "Expected a GridSurface, as NeuS and PriorSurface make it."
        )
    return surface


@torch.no_grad()
def frozen_rays(surface: GridSurface, cameras: Cameras) -> FrozenRays:
    """The rays of all pixels through a surface.

    Args:
        surface: whose distances say where the rays end.
        cameras: where from, and the image size.

    Source:
        Wang et al., "NeuS" (arXiv:2106.10689), equation 13: the discrete opacity.
    """
    side = surface.distances.shape[0]
    cell = 2 * surface.radius / (side - 1)
    optics = Optics(SHARPNESS / cell, BAND * cell, STEP * cell, 0.5, 1.0, 1.0, 0.01)
    field = surface.distances.reshape(-1, 1).float().contiguous()
    origins, directions = (part.reshape(-1, 3) for part in cameras.rays())
    near = _near_the_object(surface, cameras)
    parts = []
    for rays in near.split(CHUNK):
        depths, count = march(field, origins[rays], directions[rays], side=side, radius=surface.radius, optics=optics)
        parts.append(_weighed(field, origins, directions, rays, depths, count, surface, optics))
    points, towards, weights, ray = (torch.cat(part) for part in zip(*parts, strict=True))
    return FrozenRays(points, towards, weights, ray, cameras)


def _near_the_object(surface: GridSurface, cameras: Cameras) -> Int[Tensor, "R"]:
    """Rays that meet the surface or pass it closely: pixels within three of the silhouette."""
    alpha = surface.render(cameras).alpha
    return (torch.nn.functional.max_pool2d(alpha, 7, stride=1, padding=3).reshape(-1) > 0).nonzero()[:, 0]


def _weighed(
    field: Tensor,
    origins: Tensor,
    directions: Tensor,
    rays: Int[Tensor, "R"],
    depths: Float[Tensor, "R S"],
    count: Int[Tensor, "R"],
    surface: GridSurface,
    optics: Optics,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Middles of the sections of every ray that weigh anything."""
    most = max(2, int(count.max()) if len(count) else 2)
    points = origins[rays, None] + depths[:, :most, None] * directions[rays, None]
    distance = look_up(field, points, surface.distances.shape[0], surface.radius)[..., 0]
    weights = section_weights(distance, count, optics.sharpness)
    row, section = (weights > LEAST).nonzero().unbind(-1)
    middles = (points[row, section] + points[row, section + 1]) / 2
    return middles, directions[rays[row]], weights[row, section], rays[row]
