"""One object as several photos beside its solid in a grid, points on its surface, and their colours."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.data.packs.render_objects import fitting_scale, random_light
from epimesh.data.solids.carving import TOLERANCE, Surroundings, inside, surface_points, surroundings
from epimesh.data.solids.placement import Placement, framed_placement, rig_placement
from epimesh.mesh import Mesh
from epimesh.rendering.rasterize import rasterize

PHOTOS = 6
GRID, GRID_SIDE = 96, 1.04  # cells per side of the solid, and the side in scene units
SURFACE = 4096
_RIG = 3  # of the photos are framed as in rigs, the others as cut-out photos


class SolidSample(NamedTuple):
    """One unit-sized object in its own frame.

    Args:
        photos: premultiplied by alpha.
        placement: rows of `Placement`: how each photo shows the object.
        solid: one bit per cell of the grid, x slowest: whether the object holds its centre.
        surface: points that can be seen from somewhere.
        surface_rgb: their colours under the light of the photos.
    """

    photos: UInt8[Tensor, "K 4 H W"]
    placement: Float[Tensor, "K 6"]
    solid: UInt8[Tensor, "B"]
    surface: Float[Tensor, "M 3"]
    surface_rgb: UInt8[Tensor, "M 3"]


def sampled(mesh: Mesh, random: np.random.Generator, size: int = 128, photos: int = PHOTOS) -> SolidSample:
    """Photos and points of a unit-sized object.

    Raises:
        BadInput: it cannot be drawn.
    """
    light = random_light(random)
    seen = surroundings(mesh, light)
    surface, surface_rgb = surface_points(seen, SURFACE, random)
    placements = _placements(mesh, random, photos)
    rgba = []
    for placement in placements:
        shown = replace(mesh, vertices=mesh.vertices * placement.scale)
        rgba.append(rasterize(shown, placement.camera(size), light).rgba[0])
    return SolidSample(
        photos=torch.stack(rgba),
        placement=torch.tensor([placement.row() for placement in placements]),
        solid=torch.from_numpy(np.packbits(_solid(mesh, seen))),
        surface=surface.half(),
        surface_rgb=surface_rgb,
    )


def _placements(mesh: Mesh, random: np.random.Generator, photos: int) -> list[Placement]:
    ring = Cameras.ring(16, size=128)
    scale = fitting_scale(mesh.vertices, ring) * random.uniform(0.8, 1.0)
    rig = [rig_placement(mesh.vertices, random, scale) for _ in range(_RIG)]
    return rig + [framed_placement(mesh.vertices, random) for _ in range(photos - _RIG)]


def _solid(mesh: Mesh, seen: Surroundings) -> np.ndarray:
    """Which centres of the grid's cells lie inside; only those around the object are asked for."""
    steps = ((torch.arange(GRID) + 0.5) / GRID - 0.5) * GRID_SIDE
    low, high = mesh.vertices.amin(0) - 2 * TOLERANCE, mesh.vertices.amax(0) + 2 * TOLERANCE
    first, end = torch.searchsorted(steps, low), torch.searchsorted(steps, high)
    around = tuple(slice(int(a), int(b)) for a, b in zip(first, end, strict=True))
    axes = torch.meshgrid(*(steps[part] for part in around), indexing="ij")
    solid = np.zeros((GRID, GRID, GRID), np.bool_)
    solid[around] = inside(torch.stack(axes, dim=-1).reshape(-1, 3), seen).reshape(axes[0].shape).numpy()
    return solid
