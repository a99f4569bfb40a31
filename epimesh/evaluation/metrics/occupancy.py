"""Which cells of a grid lie inside a mesh, for volume IoU; with a measure of how far "inside" is defined at all.

A ray from a cell centre to the outside crosses a closed surface an odd number of times if and only if the cell is
inside. Along the three axes and both ways that makes six votes. They agree for a closed surface, with or without
consistent winding, and disagree where it has holes, so that open meshes are recognised instead of leaking in streaks.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from epimesh.mesh import Mesh
from epimesh.rendering.ray_casting import import_open3d

HALF_SIDE = 1.0  # the grid spans [-1, 1]^3
SOLID_AGREEMENT = 0.97  # below this share of unanimous cells "inside" is not well defined

# Cell centres are moved by this share of a cell, so that no ray runs exactly along an edge of a symmetric mesh.
_NUDGE = (1.234e-4, 2.718e-4, 3.142e-4)


@dataclass(frozen=True, eq=False)
class Occupancy:
    """Cells inside a mesh.

    Args:
        inside: most of the six votes, indexed [x, y, z].
        unanimous: share of the cells with any vote for inside that have all six; 1 for a closed surface.
    """

    inside: Bool[Tensor, "R R R"]
    unanimous: float

    @property
    def solid(self) -> bool:
        """True if the votes agree well enough for a volume to mean something."""
        return self.unanimous >= SOLID_AGREEMENT and bool(self.inside.any())


def occupancy(mesh: Mesh, resolution: int = 64) -> Occupancy:
    """The cells of a grid over [-1, 1]^3 whose centres lie inside the mesh. Exact for a closed surface."""
    open3d = import_open3d()
    scene = open3d.t.geometry.RaycastingScene()
    scene.add_triangles(
        open3d.core.Tensor(mesh.vertices.float().contiguous().numpy()),
        open3d.core.Tensor(mesh.faces.numpy().astype(np.uint32)),
    )
    votes = np.zeros((resolution,) * 3, np.int8)
    for axis in range(3):
        votes += _axis_votes(scene, axis, resolution)
    votes *= _in_bounds(mesh, resolution)
    any_vote = int((votes > 0).sum())
    unanimous = float((votes == 6).sum() / any_vote) if any_vote else 0.0
    return Occupancy(torch.from_numpy(votes >= 4), unanimous)


def volume_iou(first: Occupancy, second: Occupancy) -> float:
    """Cells inside both by cells inside either; 0 if neither has any."""
    either = int((first.inside | second.inside).sum())
    return int((first.inside & second.inside).sum()) / either if either else 0.0


def cell_centres(resolution: int) -> np.ndarray:
    """Positions of the cells along one axis."""
    return (np.arange(resolution) + 0.5) * (2 * HALF_SIDE / resolution) - HALF_SIDE


def _axis_votes(scene: object, axis: int, resolution: int) -> np.ndarray:
    """Per cell, the votes (0 to 2) of the rays along +axis and -axis."""
    open3d = import_open3d()
    centres, cell = cell_centres(resolution), 2 * HALF_SIDE / resolution
    across = [other for other in range(3) if other != axis]
    start = -2 * HALF_SIDE
    rays = np.zeros((resolution, resolution, 6), np.float32)
    rays[..., axis], rays[..., 3 + axis] = start, 1
    rays[..., across[0]] = (centres + _NUDGE[across[0]] * cell)[:, None]
    rays[..., across[1]] = (centres + _NUDGE[across[1]] * cell)[None]
    found = scene.list_intersections(open3d.core.Tensor(rays))  # type: ignore[attr-defined]
    ray, place = found["ray_ids"].numpy().astype(np.int64), found["t_hit"].numpy() + start
    # Histogram of hits by the first cell centre above them; its running sum counts the hits below every centre.
    above = np.searchsorted(centres, place)
    hits = np.zeros((resolution * resolution, resolution + 1), np.int32)
    np.add.at(hits, (ray, above), 1)
    below = np.cumsum(hits, axis=1)
    from_low, from_high = below[:, :-1] % 2, (below[:, -1:] - below[:, :-1]) % 2
    votes = (from_low + from_high).astype(np.int8).reshape(resolution, resolution, resolution)
    return np.moveaxis(votes, 2, axis)


def _in_bounds(mesh: Mesh, resolution: int) -> np.ndarray:
    """1 for cells within the bounding box of the mesh: beyond it every ray of an open mesh would leak."""
    low, high = mesh.vertices.amin(0).numpy(), mesh.vertices.amax(0).numpy()
    centres = cell_centres(resolution)
    x, y, z = ((centres >= low[axis]) & (centres <= high[axis]) for axis in range(3))
    return (x[:, None, None] & y[None, :, None] & z[None, None, :]).astype(np.int8)
