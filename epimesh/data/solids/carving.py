"""Which points lie inside an object, judged by depth views from all around. Works for open and messy meshes, too."""

from math import radians, tan
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.compiled import compiled
from epimesh.mesh import Mesh
from epimesh.rendering.rasterize import rasterize
from epimesh.rendering.ray_casting import Light

VIEWS = 36
_DISTANCE = 3.0
_FOV_DEG = 35.0  # shows a ball of radius .9 around the origin
_PIXELS = 192
PIXEL = 2 * _DISTANCE * tan(radians(_FOV_DEG / 2)) / _PIXELS  # scene units, at the distance of the origin
_NOTHING = 100.0  # depth where nothing is; compiled code may not compare infinities
JUMP = 0.1  # scene units between neighbouring pixels; more is the edge of something nearer
STEEP = 0.15  # cosine of the slope that is assumed there, where it is not known
TOLERANCE = 0.004  # scene units; sheets without thickness become solids of twice this
_BELONGS = 0.25  # share of the object's pixels around a place, from where on it is not background


class Surroundings(NamedTuple):
    """What cameras all around see of an object.

    Args:
        cameras: evenly spread over the sphere.
        rgba: colours premultiplied by coverage.
        depth: along the optical axis in scene units, infinite where nothing is.
    """

    cameras: Cameras
    rgba: UInt8[Tensor, "V 4 H W"]
    depth: Float[Tensor, "V H W"]


def surroundings(mesh: Mesh, light: Light) -> Surroundings:
    """Views of a unit-sized object from all around."""
    number = torch.arange(VIEWS) + 0.5
    elevation = torch.rad2deg(torch.asin(1 - 2 * number / VIEWS))
    azimuth = number * (180 * (3 - 5**0.5))  # the golden angle
    cameras = Cameras.on_sphere(azimuth % 360, elevation, size=_PIXELS, distance=_DISTANCE, fov_deg=_FOV_DEG)
    drawn = rasterize(mesh, cameras, light, supersample=1)
    return Surroundings(cameras, drawn.rgba, drawn.depth)


def inside(points: Float[Tensor, "N 3"], seen: Surroundings) -> Bool[Tensor, "N"]:
    """True where no view sees further than the point. What no camera sees, such as inner walls, is inside."""
    projection = seen.cameras.intrinsics @ seen.cameras.world_to_camera[:, :3]
    found = np.ones(len(points), np.bool_)
    depth = seen.depth.clamp_max(_NOTHING).numpy()
    _carve(points.double().numpy(), projection.double().numpy(), depth, TOLERANCE, found)
    return torch.from_numpy(found)


@compiled()
def _carve(points, projection, depth, tolerance, found):  # type: ignore[no-untyped-def]
    for number in range(len(points)):
        x, y, z = points[number, 0], points[number, 1], points[number, 2]
        for view in range(len(projection)):
            p = projection[view]
            distance = p[2, 0] * x + p[2, 1] * y + p[2, 2] * z + p[2, 3]
            column = (p[0, 0] * x + p[0, 1] * y + p[0, 2] * z + p[0, 3]) / distance - 0.5
            row = (p[1, 0] * x + p[1, 1] * y + p[1, 2] * z + p[1, 3]) / distance - 0.5
            if _before(depth[view], row, column, distance) > tolerance:
                found[number] = False
                break


@compiled()
def _before(depth, row, column, distance):  # type: ignore[no-untyped-def]
    """How far a point lies before the surface that a view shows there, measured across the surface.

    Measured along the ray instead, slanted views would count the thinnest air as far. Across a jump of the depth the
    nearest of four pixels counts. Beside the outline a place belongs to the object even a quarter of a pixel beyond:
    where the outlines of many views meet, half a pixel would be lost otherwise.
    """
    top, left = int(np.floor(row)), int(np.floor(column))
    if top < 0 or left < 0 or top + 1 >= depth.shape[0] or left + 1 >= depth.shape[1]:
        return _NOTHING
    a, b, c, d = depth[top, left], depth[top, left + 1], depth[top + 1, left], depth[top + 1, left + 1]
    least, most = min(min(a, b), min(c, d)), max(max(a, b), max(c, d))
    down, right = row - top, column - left
    if most >= _NOTHING:
        shown = (1 - down) * ((1 - right) * (a < _NOTHING) + right * (b < _NOTHING))
        shown += down * ((1 - right) * (c < _NOTHING) + right * (d < _NOTHING))
        if shown < _BELONGS:
            return _NOTHING
    if most > least + JUMP:
        return (least - distance) * STEEP
    between = (1 - down) * ((1 - right) * a + right * b) + down * ((1 - right) * c + right * d)
    across, along = (b + d - a - c) / (2 * PIXEL), (c + d - a - b) / (2 * PIXEL)
    return (between - distance) / np.sqrt(1 + across**2 + along**2)


def surface_points(
    seen: Surroundings, count: int, random: np.random.Generator
) -> tuple[Float[Tensor, "count 3"], UInt8[Tensor, "count 3"]]:
    """Random points that the views see, with their colours."""
    opaque = seen.rgba[:, 3] == 255
    hits = opaque.nonzero().numpy()
    chosen = torch.from_numpy(hits[random.integers(len(hits), size=count)])
    view, row, column = chosen.unbind(1)
    focal, centre = float(seen.cameras.intrinsics[0, 0, 0]), _PIXELS / 2
    depth = seen.depth[view, row, column]
    pixel = torch.stack([column + 0.5 - centre, row + 0.5 - centre], dim=1) / focal
    own = torch.cat([pixel * depth[:, None], depth[:, None]], dim=1)
    pose = seen.cameras.world_to_camera[view]
    points = torch.einsum("nji,nj->ni", pose[:, :3, :3], own - pose[:, :3, 3])
    return points, seen.rgba[view, :3, row, column]
