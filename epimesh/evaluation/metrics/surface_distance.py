"""Distances between surfaces: from points spread over one of them to the nearest place on the other.

Measuring to the surface rather than to a second set of points has no floor: a mesh against itself scores 0 however few
points are drawn.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from epimesh.mesh import Mesh
from epimesh.rendering.ray_casting import import_open3d


@dataclass(frozen=True, eq=False)
class Samples:
    """Points spread evenly over a surface, with the unit normals of their triangles."""

    points: Float[Tensor, "N 3"]
    normals: Float[Tensor, "N 3"]


@dataclass(frozen=True)
class Agreement:
    """How much of two surfaces lies near the other.

    Args:
        threshold: what counts as near, in scene units.
        precision: share of the predicted surface near the true one.
        recall: share of the true surface near the predicted one.
        f_score: harmonic mean of both.
    """

    threshold: float
    precision: float
    recall: float
    f_score: float


def sample_surface(mesh: Mesh, count: int, seed: int = 0) -> Samples:
    """`count` points, evenly by area, the same for the same mesh and seed."""
    triangles = mesh.vertices.double()[mesh.faces]
    edge_b, edge_c = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    area = torch.linalg.cross(edge_b, edge_c).norm(dim=-1).numpy()
    random = np.random.default_rng(seed)
    # Stratified along the cumulated area: evenly filled, which lowers the spread of every mean.
    position = (np.arange(count) + random.random(count)) / count
    share = np.cumsum(area) / area.sum()
    face = torch.from_numpy(np.minimum(np.searchsorted(share, position), len(area) - 1))
    u, v = torch.from_numpy(random.random((2, count)))
    folded = u + v > 1
    u, v = torch.where(folded, 1 - u, u), torch.where(folded, 1 - v, v)
    points = triangles[face, 0] + u[:, None] * edge_b[face] + v[:, None] * edge_c[face]
    return Samples(points.float(), mesh.face_normals()[face].float())


class NearestOnMesh:
    """Answers which place of a mesh is nearest to a point."""

    def __init__(self, mesh: Mesh, threads: int = 0) -> None:
        """`threads` of the search; 0 means all cores."""
        open3d = import_open3d()
        self._threads = threads
        self._normals = mesh.face_normals()
        self._scene = open3d.t.geometry.RaycastingScene(nthreads=threads)
        self._scene.add_triangles(
            open3d.core.Tensor(mesh.vertices.float().contiguous().numpy()),
            open3d.core.Tensor(mesh.faces.numpy().astype(np.uint32)),
        )

    def find(self, points: Float[Tensor, "N 3"]) -> tuple[Float[Tensor, "N"], Int[Tensor, "N"]]:
        """The distance to the surface and the nearest triangle, for every point."""
        open3d = import_open3d()
        query = open3d.core.Tensor(points.float().contiguous().numpy())
        found = self._scene.compute_closest_points(query, nthreads=self._threads)
        nearest = torch.from_numpy(found["points"].numpy())
        face = torch.from_numpy(found["primitive_ids"].numpy().astype(np.int64))
        return (nearest - points).norm(dim=-1), face

    def normals(self, face: Int[Tensor, "N"]) -> Float[Tensor, "N 3"]:
        """Unit normals of triangles."""
        return self._normals[face]


def agreement(predicted: Float[Tensor, "N"], true: Float[Tensor, "M"], threshold: float) -> Agreement:
    """Precision, recall and F-score from distances prediction to truth, and truth to prediction."""
    precision = float((predicted < threshold).double().mean())
    recall = float((true < threshold).double().mean())
    total = precision + recall
    return Agreement(threshold, precision, recall, 2 * precision * recall / total if total else 0.0)


def point_chamfer(first: Float[Tensor, "N 3"], second: Float[Tensor, "M 3"]) -> float:
    """Mean of both mean distances to the nearest neighbour; Euclidean, not squared. Infinite if a set is empty."""
    from scipy.spatial import cKDTree

    if len(first) == 0 or len(second) == 0:
        return float("inf")
    one, other = first.double().numpy(), second.double().numpy()
    there, back = cKDTree(other).query(one)[0], cKDTree(one).query(other)[0]
    return float((there.mean() + back.mean()) / 2)
