"""One object as several photos beside points inside and outside, on its surface, and their colours."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.data.packs.render_objects import fitting_scale, random_light
from epimesh.data.solids.carving import Surroundings, inside, surface_points, surroundings
from epimesh.data.solids.placement import Placement, framed_placement, rig_placement
from epimesh.mesh import Mesh
from epimesh.rendering.rasterize import rasterize

PHOTOS = 6
NEAR, BOX, BALL = 8192, 4096, 2048  # points: near the surface, in the object's box, around it
SURFACE = 4096
_RIG = 2  # of the photos are framed as in rigs, the others as cut-out photos


class SolidSample(NamedTuple):
    """One unit-sized object. All points are in its own frame.

    Args:
        photos: premultiplied by alpha.
        placement: rows of `Placement`: how each photo shows the object.
        points: near the surface, then evenly in the object's box, then evenly in a ball around it.
        inside: whether the object holds them.
        surface: points that can be seen from somewhere.
        surface_rgb: their colours under the light of the photos.
    """

    photos: UInt8[Tensor, "K 4 H W"]
    placement: Float[Tensor, "K 6"]
    points: Float[Tensor, "N 3"]
    inside: Bool[Tensor, "N"]
    surface: Float[Tensor, "M 3"]
    surface_rgb: UInt8[Tensor, "M 3"]


def sampled(mesh: Mesh, random: np.random.Generator, size: int = 128, photos: int = PHOTOS) -> SolidSample:
    """Photos and points of a unit-sized object.

    Raises:
        BadInput: it cannot be drawn.
    """
    light = random_light(random)
    seen = surroundings(mesh, light)
    points = _points(mesh, seen, random)
    surface, surface_rgb = surface_points(seen, SURFACE, random)
    placements = _placements(mesh, random, photos)
    rgba = []
    for placement in placements:
        shown = replace(mesh, vertices=mesh.vertices * placement.scale)
        rgba.append(rasterize(shown, placement.camera(size), light).rgba[0])
    return SolidSample(
        photos=torch.stack(rgba),
        placement=torch.tensor([placement.row() for placement in placements]),
        points=points.half(),
        inside=inside(points.half().float(), seen),
        surface=surface.half(),
        surface_rgb=surface_rgb,
    )


def _placements(mesh: Mesh, random: np.random.Generator, photos: int) -> list[Placement]:
    ring = Cameras.ring(16, size=128)
    scale = fitting_scale(mesh.vertices, ring) * random.uniform(0.8, 1.0)
    rig = [rig_placement(mesh.vertices, random, scale) for _ in range(_RIG)]
    return rig + [framed_placement(mesh.vertices, random) for _ in range(photos - _RIG)]


def _points(mesh: Mesh, seen: Surroundings, random: np.random.Generator) -> Float[Tensor, "N 3"]:
    close, _ = surface_points(seen, NEAR, random)
    spread = np.where(np.arange(NEAR) % 2 == 0, 0.015, 0.05)[:, None]
    near = close + torch.from_numpy((random.standard_normal((NEAR, 3)) * spread).astype(np.float32))
    low, high = mesh.vertices.amin(0) - 0.04, mesh.vertices.amax(0) + 0.04
    box = torch.from_numpy(random.random((BOX, 3)).astype(np.float32)) * (high - low) + low
    direction = random.standard_normal((BALL, 3))
    direction *= 0.88 * random.random((BALL, 1)) ** (1 / 3) / np.linalg.norm(direction, axis=1, keepdims=True)
    return torch.cat([near, box, torch.from_numpy(direction.astype(np.float32))])
