"""Closed triangle meshes in numpy: what is wrong with one, its separate parts, and simplifying without tearing it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LONG = 0.15  # of the whole's longest side: separate parts that reach so far are kept, however thin
# How boldly fast_simplification collapses edges, boldest (and quickest) first. Timid passes tear less.
AGGRESSION = (7.0, 4.0, 2.0)


@dataclass(frozen=True, eq=False)
class Triangles:
    """Vertices N x 3 in scene units, and faces F x 3, counter-clockwise seen from outside."""

    vertices: NDArray[np.float32]
    faces: NDArray[np.int64]


def defects(mesh: Triangles) -> str:
    """What keeps the mesh from being a closed, outward manifold, in words; empty if nothing does."""
    if len(mesh.faces) == 0:
        return "no triangles"
    found = []
    there, back = _edge_keys(mesh.faces)
    shared = len(there) - len(np.unique(there))
    open_edges = len(np.setdiff1d(there, back))
    if open_edges:
        found.append(f"{open_edges} open edges")
    if shared:
        found.append(f"{shared} edges where more than two triangles meet")
    if not found and (pinched := _pinched(mesh.faces)):
        found.append(f"{pinched} vertices where separate sheets touch")
    if not found and volume(mesh) <= 0:
        found.append("its inside turned out")
    return ", ".join(found)


def volume(mesh: Triangles) -> float:
    """Signed volume; positive when the triangles face outwards."""
    a, b, c = mesh.vertices[mesh.faces].astype(np.float64).transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum() / 6)


def without_crumbs(mesh: Triangles, crumbs: float) -> tuple[Triangles, int]:
    """The mesh without small separate parts and without bubbles inside, and how many were dropped.

    Args:
        mesh: closed.
        crumbs: parts with less than this share of the area go, unless they are long. The largest part stays.
    """
    part = parts(mesh)
    count = int(part.max()) + 1
    if count == 1:
        return mesh, 0
    a, b, c = mesh.vertices[mesh.faces].astype(np.float64).transpose(1, 0, 2)
    area = np.bincount(part, np.linalg.norm(np.cross(b - a, c - a), axis=-1) / 2, count)
    volumes = np.bincount(part, (a * np.cross(b, c)).sum(-1) / 6, count)
    low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    for corner in (a, b, c):
        np.minimum.at(low, part, corner)
        np.maximum.at(high, part, corner)
    solid = volumes > 0
    reach = (high - low).max(-1)
    kept = solid & ((area >= crumbs * area[solid].sum()) | (reach >= LONG * reach.max()))
    kept[np.argmax(np.where(solid, area, 0))] = True
    return _compact(Triangles(mesh.vertices, mesh.faces[kept[part]])), int((~kept).sum())


def parts(mesh: Triangles) -> NDArray[np.int64]:
    """The number of the connected part to which each face belongs."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    start, end = mesh.faces[:, [0, 1]].ravel(), mesh.faces[:, [1, 2]].ravel()
    size = len(mesh.vertices)
    graph = coo_matrix((np.ones(len(start), np.int8), (start, end)), shape=(size, size))
    of_vertex = connected_components(graph, directed=False)[1]
    return np.unique(of_vertex[mesh.faces[:, 0]], return_inverse=True)[1]


def simplified(mesh: Triangles, faces: int) -> Triangles | None:
    """The mesh with about `faces` triangles and still closed, or None if every attempt tears it.

    Source:
        Garland and Heckbert, "Surface Simplification Using Quadric Error Metrics" (1997), by fast_simplification.
    """
    import fast_simplification

    if len(mesh.faces) <= faces:
        return mesh
    for aggression in AGGRESSION:
        vertices, fewer = fast_simplification.simplify(
            mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32), target_count=faces, agg=aggression
        )
        attempt = _compact(Triangles(vertices.astype(np.float32), fewer.astype(np.int64)))
        if not defects(attempt):
            return attempt
    return None


def _compact(mesh: Triangles) -> Triangles:
    """Without vertices that no triangle uses."""
    used, faces = np.unique(mesh.faces, return_inverse=True)
    return Triangles(mesh.vertices[used], faces.reshape(-1, 3).astype(np.int64))


def _edge_keys(faces: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A number for every directed edge, and for the same edge the other way round."""
    start = faces.ravel()
    end = faces[:, [1, 2, 0]].ravel()
    size = int(faces.max()) + 1
    return start * size + end, end * size + start


def _pinched(faces: NDArray[np.int64]) -> int:
    """How many vertices have more than one fan of triangles, in a mesh whose edges are all shared by two."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    there, back = _edge_keys(faces)
    order = np.argsort(there)
    twin = order[np.searchsorted(there, back, sorter=order)]
    # Corner n starts edge n. Around a vertex, the next fan member is the corner at which the twin of edge n ends.
    after = twin // 3 * 3 + (twin % 3 + 1) % 3
    corners = faces.size
    graph = coo_matrix((np.ones(corners, np.int8), (np.arange(corners), after)), shape=(corners, corners))
    return int(connected_components(graph, directed=False)[0]) - len(np.unique(faces))
