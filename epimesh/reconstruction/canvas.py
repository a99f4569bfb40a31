"""A grid of features on a frozen surface, seen from the ring and from the photo: what appearance is fitted on."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.reconstruction.frozen_rays import FrozenRays
from epimesh.reconstruction.neus.kernel import Optics
from epimesh.reconstruction.neus.torch_render import rendered
from epimesh.surface import GridSurface, trilinear


@dataclass(frozen=True, eq=False)
class Canvas:
    """Features that change, on a surface that does not.

    Args:
        grid: the features, indexed [x, y, z]; what is learned.
        rays: of the views of the ring.
        photo_rays: of the photo.
        background: what is behind the surface.
        radius: half side of the cube, in scene units.
    """

    grid: Float[Tensor, "C Y Y Y"]
    rays: FrozenRays
    photo_rays: FrozenRays
    background: Float[Tensor, "C"]
    radius: float

    @property
    def parameters(self) -> list[Tensor]:
        """What is learned."""
        return [self.grid]

    def views(self, numbers: Sequence[int]) -> tuple[Float[Tensor, "V C H W"], Float[Tensor, "V 1 H W"]]:
        """Features and coverage of some views of the ring, differentiable by the features."""
        return self._drawn(self.rays.of_views(list(numbers)))

    def photo(self) -> tuple[Float[Tensor, "1 C H W"], Float[Tensor, "1 1 H W"]]:
        """The same from where the photo was taken."""
        return self._drawn(self.photo_rays)

    def seen(self) -> Float[Tensor, "M C"]:
        """The features wherever a ray of the ring meets the surface."""
        return trilinear(self.grid.detach(), self.rays.points / self.radius)

    def _drawn(self, rays: FrozenRays) -> tuple[Tensor, Tensor]:
        values = trilinear(self.grid, rays.points / self.radius)
        return rays.composite(values, self.background), rays.coverage


@dataclass(frozen=True, eq=False)
class MovingCanvas(Canvas):
    """Colours on a surface that moves with them.

    Args:
        distances: signed, same layout and size as the colours; learned, too.
        optics: how rays are rendered.
    """

    distances: Float[Tensor, "Y Y Y"]
    optics: Optics

    @property
    def parameters(self) -> list[Tensor]:
        """What is learned."""
        return [self.grid, self.distances]

    def _drawn(self, rays: FrozenRays) -> tuple[Tensor, Tensor]:
        cameras = rays.cameras
        origins, directions = (part.reshape(-1, 3) for part in cameras.rays())
        near = torch.nn.functional.max_pool2d(rays.coverage, 7, stride=1, padding=3).reshape(-1) > 0
        cells = torch.cat([self.distances[None], self.grid]).flatten(1).T
        made = rendered(
            cells,
            origins[near],
            directions[near],
            side=self.distances.shape[0],
            radius=self.radius,
            optics=self.optics,
        ).pixels
        empty = made.new_tensor([1.0, 1.0, 1.0, 0.0]).repeat(len(near), 1)
        images = empty.index_put((near.nonzero()[:, 0],), made)
        images = images.reshape(len(cameras), cameras.height, cameras.width, 4).permute(0, 3, 1, 2)
        return images[:, :3], images[:, 3:]


def fitted(
    canvas: Canvas, targets: Float[Tensor, "V C H W"], *, steps: int, rate: float, views_at_once: int = 4
) -> None:
    """Makes a canvas show these views of the ring, by Adam on the squared error."""
    optimizer = torch.optim.Adam(canvas.parameters, lr=rate)
    numbers = torch.arange(len(targets)).split(views_at_once)
    for step in range(steps):
        some = numbers[step % len(numbers)].tolist()
        image, _ = canvas.views(some)
        optimizer.zero_grad()
        (image - targets[some]).square().sum().backward()
        optimizer.step()


def colors_at(surface: GridSurface, side: int) -> Float[Tensor, "3 Y Y Y"]:
    """The surface's colours on a grid of another size."""
    colors = surface.colors[None]
    return torch.nn.functional.interpolate(colors, (side,) * 3, mode="trilinear", align_corners=True)[0]
