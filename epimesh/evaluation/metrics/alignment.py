"""Moves a prediction onto the truth before they are compared, by a stated rule.

The choice of alignment can turn a ranking around, so it is always asked for by name and printed with every number.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.errors import BadInput
from epimesh.evaluation.metrics.surface_distance import sample_surface
from epimesh.mesh import Mesh

MODES = {
    "none": "the prediction as it is",
    "scale": "centre and longest side of the bounding box set to those of the truth",
    "icp": "as scale, then a rigid motion by iterative closest points",
    "yaw": "the best of 24 turns about z, each followed by scale and iterative closest points",
}
_POINTS = 2000
_ICP_STEPS = 40


@dataclass(frozen=True, eq=False)
class Aligned:
    """A prediction in place.

    Args:
        mesh: after the motion.
        mode: which rule was used.
        matrix: prediction to truth, homogeneous.
    """

    mesh: Mesh
    mode: str
    matrix: Float[Tensor, "4 4"]


def align(prediction: Mesh, truth: Mesh, mode: str, seed: int = 0) -> Aligned:
    """The prediction moved by one of `MODES`.

    Raises:
        BadInput: there is no such mode.
    """
    if mode not in MODES:
        raise BadInput(f"There is no alignment '{mode}'.\nExpected one of: {', '.join(MODES)}.")
    vertices, target = prediction.vertices.double().numpy(), truth.vertices.double().numpy()
    matrix = np.eye(4) if mode == "none" else _box_matrix(vertices, target)
    if mode in ("icp", "yaw"):
        starts = (
            [matrix] if mode == "icp" else [_turned_box_matrix(vertices, target, 15.0 * step) for step in range(24)]
        )
        points = sample_surface(prediction, _POINTS, seed).points.double().numpy()
        matrix = _best_motion(points, sample_surface(truth, 4 * _POINTS, seed).points.double().numpy(), starts)
    exact = torch.from_numpy(matrix)
    placed = torch.from_numpy(_moved(vertices, matrix)).to(prediction.vertices.dtype)
    return Aligned(prediction if mode == "none" else replace(prediction, vertices=placed), mode, exact.float())


def _box_matrix(vertices: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Uniform scale and shift from one bounding box to the other."""
    matrix = np.eye(4)
    scale = np.ptp(target, axis=0).max() / np.ptp(vertices, axis=0).max()
    matrix[:3, :3] *= scale
    matrix[:3, 3] = _middle(target) - scale * _middle(vertices)
    return matrix


def _turned_box_matrix(vertices: np.ndarray, target: np.ndarray, turn_deg: float) -> np.ndarray:
    """First a turn about z, then the fit of the boxes: the box depends on the turn."""
    cosine, sine = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    turn = np.eye(4)
    turn[:2, :2] = [[cosine, -sine], [sine, cosine]]
    return _box_matrix(_moved(vertices, turn), target) @ turn


def _best_motion(points: np.ndarray, target: np.ndarray, starts: list[np.ndarray]) -> np.ndarray:
    """Closest points from every start; the motion that ends nearest to the target, the first among equals."""
    from scipy.spatial import cKDTree

    tree = cKDTree(target)
    best, least = starts[0], np.inf
    for start in starts:
        matrix = _icp(points, target, tree, start)
        placed = _moved(points, matrix)
        error = tree.query(placed)[0].mean() + cKDTree(placed).query(target)[0].mean()
        if error < least - 1e-9:
            best, least = matrix, error
    return best


def _icp(points: np.ndarray, target: np.ndarray, tree: object, start: np.ndarray) -> np.ndarray:
    """Repeatedly the rigid motion that brings every point nearest to its closest target (Besl and McKay, 1992)."""
    from trimesh.registration import procrustes

    matrix = start
    for _ in range(_ICP_STEPS):
        placed = _moved(points, matrix)
        nearest = target[tree.query(placed)[1]]  # type: ignore[attr-defined]
        step, _, _ = procrustes(placed, nearest, reflection=False, scale=False)
        matrix = step @ matrix
        if np.abs(step - np.eye(4)).max() < 1e-6:
            break
    return matrix


def _middle(points: np.ndarray) -> np.ndarray:
    return (points.min(0) + points.max(0)) / 2


def _moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]
