"""What can be said about a mesh alone: is it closed, in how many pieces, is it usable at all."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from epimesh.errors import BadInput
from epimesh.mesh import Mesh


@dataclass(frozen=True)
class MeshHealth:
    """Facts about one mesh.

    Args:
        faces: number of triangles.
        watertight: every edge belongs to exactly two triangles that run along it in opposite directions.
        components: pieces that share no vertex; texture seams do not count as cuts.
    """

    faces: int
    watertight: bool
    components: int


def require_mesh(mesh: Mesh, what: str) -> None:
    """Refuses meshes that cannot be measured.

    Raises:
        BadInput: no triangles, positions that are not finite, or no area; `what` names the mesh in the message.
    """
    problem = None
    if len(mesh.faces) == 0:
        problem = "has no triangles"
    elif not mesh.vertices.isfinite().all():
        problem = f"has {int((~mesh.vertices.isfinite()).any(-1).sum())} vertices that are not finite (NaN or infinite)"
    elif int(mesh.faces.min()) < 0 or int(mesh.faces.max()) >= len(mesh.vertices):
        problem = f"refers to vertices up to {int(mesh.faces.max())}, but has {len(mesh.vertices)}"
    elif not bool((mesh.face_normals().norm(dim=-1) > 0).any()):
        problem = "has only triangles without area"
    if problem:
        raise BadInput(f"The {what} mesh {problem}.\nExpected a surface that can be measured: repair or remake it.")


def health(mesh: Mesh) -> MeshHealth:
    """Watertightness and pieces, after vertices at the same position are joined."""
    return MeshHealth(len(mesh.faces), mesh.is_closed(), _components(_joined_faces(mesh)))


def _joined_faces(mesh: Mesh) -> np.ndarray:
    _, place = torch.unique(mesh.vertices, dim=0, return_inverse=True)
    joined: Int[Tensor, "F 3"] = place[mesh.faces]
    return joined.numpy()


def _components(faces: np.ndarray) -> int:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    used, compact = np.unique(faces, return_inverse=True)
    compact = compact.reshape(-1, 3)
    start = np.concatenate([compact[:, 0], compact[:, 1]])
    end = np.concatenate([compact[:, 1], compact[:, 2]])
    graph = coo_matrix((np.ones(len(start), np.int8), (start, end)), shape=(len(used), len(used)))
    return int(connected_components(graph, directed=False)[0])
