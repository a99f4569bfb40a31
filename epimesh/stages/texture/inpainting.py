"""Colours for the parts of a surface that no image shows: they flow in smoothly from what is known around them."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.mesh import Mesh
from epimesh.stages.texture.atlas import Texels

_NEIGHBOURS = 8
_TURNED = 0.5  # scene units that a normal turned by 90 degrees counts as distance
_GUESS = 1e-3  # pull of an unseen vertex towards the nearest known colours, against 1 for a known vertex
_GREY = 0.8  # where nothing at all is known


def flowed_colors(
    surface: Mesh, texels: Texels, colors: Float[Tensor, "T 3"], trust: Float[Tensor, "T"]
) -> Float[Tensor, "N 3"]:
    """A colour for every vertex: the known ones where there are any, harmonic in between.

    Solves (C + L) x = C y over the vertices: L is the graph Laplacian, y the mean colour of the texels around a vertex
    and C how well it is known. Vertices that nothing is known of have a weak pull towards what is known nearby on parts
    that face the same way; it decides for pieces without any connection to a known part.

    Args:
        surface: welded, with the triangles the texels refer to.
        texels: of the atlas.
        colors: at the texels; only those with trust count.
        trust: 0 (unseen) to 1.
    """
    from scipy.sparse import diags
    from scipy.sparse.linalg import splu

    known, color = _around_vertices(surface, texels, colors, trust)
    if not known.any():
        return torch.full((len(known), 3), _GREY)
    unseen = known < 0.05
    if unseen.any() and not unseen.all():
        color[unseen] = _nearby(surface, color, unseen)
    pull = np.where(unseen, _GUESS, known)
    system = (_laplacian(surface) + diags(pull)).tocsc()
    return torch.from_numpy(splu(system).solve(pull[:, None] * color)).float().clamp(0, 1)


def _around_vertices(
    surface: Mesh, texels: Texels, colors: Tensor, trust: Tensor
) -> tuple["np.ndarray[tuple[int], np.dtype[np.float64]]", "np.ndarray[tuple[int, int], np.dtype[np.float64]]"]:
    """How well each vertex is known (0 to 1), and the mean colour of the texels close to it."""
    count = len(surface.vertices)
    corner = surface.faces[texels.face]
    near = texels.weights.double() ** 4  # mostly the texels close to the corner
    sums, total, known = torch.zeros(count, 3).double(), torch.zeros(count).double(), torch.zeros(count).double()
    for k in range(3):
        weight = near[:, k] * trust
        sums.index_add_(0, corner[:, k], weight[:, None] * colors)
        total.index_add_(0, corner[:, k], near[:, k])
        known.index_add_(0, corner[:, k], weight)
    color = sums / known.clamp_min(1e-12)[:, None]
    return (known / total.clamp_min(1e-12)).numpy(), color.numpy()


def _nearby(surface: Mesh, color: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """Mean colour of the nearest known vertices, near in place and in normal."""
    from scipy.spatial import cKDTree

    points = torch.cat([surface.vertices, surface.vertex_normals() * (_TURNED / 2**0.5)], dim=1).numpy()
    known = np.flatnonzero(~unseen)
    distance, index = cKDTree(points[known]).query(points[unseen], k=min(_NEIGHBOURS, len(known)))
    distance, index = distance.reshape(len(points[unseen]), -1), index.reshape(len(points[unseen]), -1)
    weight = 1 / (distance + 1e-3) ** 2
    return (color[known[index]] * weight[..., None]).sum(1) / weight.sum(1, keepdims=True)


def _laplacian(surface: Mesh) -> "object":
    """Graph Laplacian of the edges."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import laplacian

    faces = surface.faces.numpy()
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ends = np.concatenate([ends, ends[:, ::-1]])
    count = len(surface.vertices)
    edges = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count)).tocsr()
    edges.data[:] = 0.02  # weak against the known colours, so that those stay
    return laplacian(edges)
