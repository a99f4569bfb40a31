"""Draws a surface by marching along every ray to its first zero crossing."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.views import Views

CHUNK = 65_536  # rays at a time; keeps memory low
REFINEMENTS = 6  # halvings of the section that holds the crossing


@runtime_checkable
class Marchable(Protocol):
    """What is asked of a surface: see `epimesh.surface.Surface`."""

    radius: float

    def sdf(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N"]: ...

    def color(self, points: Float[Tensor, "N 3"], directions: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]: ...

    def first_crossings(
        self, origins: Float[Tensor, "N 3"], directions: Float[Tensor, "N 3"], steps: int
    ) -> Float[Tensor, "N"]: ...


def march(surface: Marchable, cameras: Cameras, steps: int) -> Views:
    """Views of a surface on white with coverage 0 or 1, depth, and world normals.

    Rays go through pixel centres. Each moves by the distance to the surface, but at least by the diagonal of the cube
    divided by `steps`, so parts thinner than that may be missed; the crossing is then halved out. Rays that start
    inside the surface see its inside as the first place.

    Args:
        surface: nothing outside its cube is seen.
        cameras: where from, and the image size.
        steps: at least 2; at most this many sections are looked at along a ray that stays far from the surface.

    Raises:
        ValueError: fewer than two steps.
    """
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps}")
    parts = [_one_view(surface, cameras[view], steps) for view in range(len(cameras))]
    rgb, alpha, normals, depth = (torch.stack(channel) for channel in zip(*parts, strict=True))
    return Views(rgb=rgb, alpha=alpha, cameras=cameras, normals=normals, depth=depth)


@torch.no_grad()
def _one_view(surface: Marchable, camera: Cameras, steps: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    height, width = camera.height, camera.width
    origins, directions = (part[0].reshape(-1, 3) for part in camera.rays())
    chunks = [
        surface.first_crossings(start, towards, steps)
        for start, towards in zip(origins.split(CHUNK), directions.split(CHUNK), strict=True)
    ]
    length = torch.cat(chunks)
    hit = length.isfinite()
    points = origins[hit] + length[hit, None] * directions[hit]
    rgb, normals = torch.ones(len(hit), 3), torch.zeros(len(hit), 3)
    if len(points):
        rgb[hit] = surface.color(points, directions[hit]).cpu()
        normals[hit] = _normals(surface, points).cpu()
    depth = length * (directions @ camera.forward[0])
    images = (rgb.T, hit[None].float(), normals.T)
    return *(image.reshape(-1, height, width) for image in images), depth.reshape(height, width)


def first_crossings(
    surface: Marchable, origins: Float[Tensor, "N 3"], directions: Float[Tensor, "N 3"], steps: int
) -> Float[Tensor, "N"]:
    """Length along each ray to the first place where the distance is not positive; infinite where there is none."""
    near, far = cube_span(origins, directions, surface.radius)
    least = shortest_step(surface.radius, steps)
    length, before = near.clone(), near.clone()
    found = torch.zeros_like(near, dtype=torch.bool)
    going = (near < far).nonzero()[:, 0]
    while len(going):
        distance = surface.sdf(origins[going] + length[going, None] * directions[going])
        inside = distance <= 0
        found[going[inside]] = True
        going, distance = going[~inside], distance[~inside]
        before[going] = length[going]
        at_the_wall = length[going] >= far[going]
        length[going] = torch.minimum(length[going] + distance.clamp_min(least), far[going])
        going = going[~at_the_wall]
    return _halved(surface, origins, directions, before, length, found)


def _halved(
    surface: Marchable, origins: Tensor, directions: Tensor, before: Tensor, after: Tensor, found: Bool[Tensor, "N"]
) -> Float[Tensor, "N"]:
    """The crossing between `before` (outside) and `after` (inside): halvings, then one secant."""
    result = torch.full_like(after, torch.inf)
    origin, direction = origins[found], directions[found]
    low, high = before[found], after[found]
    if not len(low):
        return result

    def distance(length: Tensor) -> Tensor:
        return surface.sdf(origin + length[:, None] * direction)

    for _ in range(REFINEMENTS):
        middle = (low + high) / 2
        inside = distance(middle) <= 0
        low, high = torch.where(inside, low, middle), torch.where(inside, middle, high)
    outside, inside = distance(low).clamp_min(0), distance(high).clamp_max(0)
    share = outside / (outside - inside).clamp_min(1e-12)
    result[found] = low + share.clamp(0, 1) * (high - low)
    return result


def shortest_step(radius: float, steps: int) -> float:
    """The diagonal of the cube, divided."""
    return 2 * 3**0.5 * radius / steps


def cube_span(
    origins: Float[Tensor, "N 3"], directions: Float[Tensor, "N 3"], radius: float
) -> tuple[Float[Tensor, "N"], Float[Tensor, "N"]]:
    """Where rays enter and leave the cube; leaving before entering means that they miss it."""
    slope = torch.where(directions.abs() < 1e-9, torch.full_like(directions, 1e-9), directions)
    walls = torch.stack([(-radius - origins) / slope, (radius - origins) / slope])
    return walls.amin(0).amax(-1).clamp_min(0), walls.amax(0).amin(-1)


def _normals(surface: Marchable, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """Unit slope of the distance by central differences over 1/100 of the cube's side."""
    reach = 0.01 * surface.radius
    slopes = []
    for axis in range(3):
        offset = torch.zeros(3).to(points)
        offset[axis] = reach
        slopes.append(surface.sdf(points + offset) - surface.sdf(points - offset))
    return torch.nn.functional.normalize(torch.stack(slopes, dim=-1), dim=-1)
