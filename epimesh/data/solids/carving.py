"""Which points lie inside an object, judged by depth views from all around. Works for open and messy meshes, too."""

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
_PIXELS = 160
TOLERANCE = 0.004  # scene units; sheets without thickness become solids of twice this


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
    _carve(points.double().numpy(), projection.double().numpy(), seen.depth.numpy(), TOLERANCE, found)
    return torch.from_numpy(found)


@compiled()
def _carve(points, projection, depth, tolerance, found):  # type: ignore[no-untyped-def]
    for number in range(len(points)):
        x, y, z = points[number, 0], points[number, 1], points[number, 2]
        for view in range(len(projection)):
            p = projection[view]
            distance = p[2, 0] * x + p[2, 1] * y + p[2, 2] * z + p[2, 3]
            column = int(np.floor((p[0, 0] * x + p[0, 1] * y + p[0, 2] * z + p[0, 3]) / distance))
            row = int(np.floor((p[1, 0] * x + p[1, 1] * y + p[1, 2] * z + p[1, 3]) / distance))
            beside = row < 0 or column < 0 or row >= depth.shape[1] or column >= depth.shape[2]
            if beside or distance < depth[view, row, column] - tolerance:
                found[number] = False
                break


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
