"""How alike two shapes are: one call, one report that also says how it was measured.

Chamfer distances are means of both one-way mean distances, Euclidean (not squared), in scene units (the truth's longest
side is 1). Numbers of different protocols or alignments must not be compared.
"""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.evaluation.metrics.alignment import align
from epimesh.evaluation.metrics.mesh_health import MeshHealth, health, require_mesh
from epimesh.evaluation.metrics.occupancy import SOLID_AGREEMENT, occupancy, volume_iou
from epimesh.evaluation.metrics.surface_distance import (
    Agreement,
    NearestOnMesh,
    agreement,
    point_chamfer,
    sample_surface,
)
from epimesh.evaluation.metrics.visible import visible_points
from epimesh.mesh import Mesh


@dataclass(frozen=True)
class ShapeProtocol:
    """How shapes are measured.

    Args:
        alignment: one of `alignment.MODES`.
        thresholds: distances of the F-scores, in scene units.
        samples: points drawn on each surface for the all-surface measures.
        resolutions: cells per axis over [-1, 1]^3 of the volume IoUs.
        seed: of the drawn points.
    """

    alignment: str = "none"
    thresholds: tuple[float, ...] = (0.01, 0.02, 0.05)
    samples: int = 50_000
    resolutions: tuple[int, ...] = (64, 128)
    seed: int = 0


@dataclass(frozen=True)
class VolumeOverlap:
    """Volume IoU on one grid.

    Args:
        resolution: cells per axis over [-1, 1]^3.
        iou: None where "inside" is not defined for one of the meshes.
        prediction_unanimous: share of the prediction's cells on which all six inside tests agree.
        truth_unanimous: the same of the truth.
    """

    resolution: int
    iou: float | None
    prediction_unanimous: float
    truth_unanimous: float


@dataclass(frozen=True)
class ShapeReport:
    """The likeness of a prediction and a truth.

    Args:
        chamfer_visible: between the points that 16 ring cameras see (SyncDreamer's protocol; flattering below .006,
            because points are averaged per voxel of .01). Infinite if they see nothing of one of the meshes.
        chamfer_surface: from points all over each surface to the other surface.
        agreement: precision, recall and F-score per threshold, all over the surfaces.
        normal_consistency: mean |cosine| between the normals of nearest places, both ways.
        volume: IoU per resolution.
        prediction: facts about the predicted mesh.
        truth: facts about the true mesh.
        alignment_matrix: prediction to truth, as applied, row by row.
        protocol: how all this was measured.
        notes: what a reader must know, such as why a number is missing.
    """

    chamfer_visible: float
    chamfer_surface: float
    agreement: tuple[Agreement, ...]
    normal_consistency: float
    volume: tuple[VolumeOverlap, ...]
    prediction: MeshHealth
    truth: MeshHealth
    alignment_matrix: tuple[tuple[float, ...], ...]
    protocol: ShapeProtocol
    notes: tuple[str, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """The report as plain values; null where nothing was seen, because JSON knows no infinity."""
        seen = self.chamfer_visible if math.isfinite(self.chamfer_visible) else None
        return {**asdict(self), "chamfer_visible": seen}


def compare_shapes(
    prediction: Mesh,
    truth: Mesh,
    *,
    protocol: ShapeProtocol | None = None,
    truth_points: Float[Tensor, "N 3"] | None = None,
    threads: int = 0,
) -> ShapeReport:
    """Measures a predicted mesh against the true one.

    Args:
        prediction: any frame that the alignment of the protocol can bring to the truth's.
        truth: world frame, longest side 1.
        protocol: default: no alignment.
        truth_points: visible points of the truth where they are known otherwise, e.g. from stored depth maps.
        threads: of the ray casts; 0 means all cores.

    Raises:
        BadInput: a mesh is empty or not finite, or the alignment is unknown.
    """
    protocol = protocol or ShapeProtocol()
    require_mesh(prediction, "predicted")
    require_mesh(truth, "true")
    aligned = align(prediction, truth, protocol.alignment, protocol.seed)
    seen = visible_points(truth, threads=threads) if truth_points is None else truth_points
    surface = _surface_measures(aligned.mesh, truth, protocol, threads)
    volume = tuple(_overlap(aligned.mesh, truth, resolution) for resolution in protocol.resolutions)
    shown = visible_points(aligned.mesh, threads=threads)
    return ShapeReport(
        chamfer_visible=point_chamfer(shown, seen),
        chamfer_surface=surface.chamfer,
        agreement=surface.agreement,
        normal_consistency=surface.normal_consistency,
        volume=volume,
        prediction=health(prediction),
        truth=health(truth),
        alignment_matrix=tuple(map(tuple, aligned.matrix.tolist())),
        protocol=protocol,
        notes=(*_unseen(aligned.mesh, shown, "prediction"), *_unseen(truth, seen, "truth"), *_notes(volume)),
    )


@dataclass(frozen=True)
class _SurfaceMeasures:
    chamfer: float
    agreement: tuple[Agreement, ...]
    normal_consistency: float


def _surface_measures(prediction: Mesh, truth: Mesh, protocol: ShapeProtocol, threads: int) -> _SurfaceMeasures:
    there, facing_there = _one_way(prediction, truth, protocol, threads)
    back, facing_back = _one_way(truth, prediction, protocol, threads)
    return _SurfaceMeasures(
        chamfer=float(there.double().mean() + back.double().mean()) / 2,
        agreement=tuple(agreement(there, back, threshold) for threshold in protocol.thresholds),
        normal_consistency=float(facing_there.double().mean() + facing_back.double().mean()) / 2,
    )


def _one_way(start: Mesh, to: Mesh, protocol: ShapeProtocol, threads: int) -> tuple[Tensor, Tensor]:
    """Distances from points on `start` to the surface of `to`, and |cosine| of the normals there."""
    samples, nearest = sample_surface(start, protocol.samples, protocol.seed), NearestOnMesh(to, threads)
    distance, face = nearest.find(samples.points)
    return distance, torch.linalg.vecdot(samples.normals, nearest.normals(face)).abs().clamp(max=1)


def _overlap(prediction: Mesh, truth: Mesh, resolution: int) -> VolumeOverlap:
    one, other = occupancy(prediction, resolution), occupancy(truth, resolution)
    iou = volume_iou(one, other) if one.solid and other.solid else None
    return VolumeOverlap(resolution, iou, one.unanimous, other.unanimous)


def _notes(volume: tuple[VolumeOverlap, ...]) -> tuple[str, ...]:
    notes = []
    for overlap in volume:
        shares = {"prediction": overlap.prediction_unanimous, "truth": overlap.truth_unanimous}
        for name, share in shares.items():
            if share < SOLID_AGREEMENT:
                notes.append(
                    f"No volume IoU at {overlap.resolution}: the {name} is not a closed solid (inside tests agree on "
                    f"{share:.1%} of its cells, {SOLID_AGREEMENT:.0%} needed). Close its holes, or go by the distances."
                )
    return tuple(notes)


def _unseen(mesh: Mesh, points: Tensor, name: str) -> tuple[str, ...]:
    if len(points):
        return ()
    low, high = (edge.tolist() for edge in (mesh.vertices.amin(0), mesh.vertices.amax(0)))
    box = ", ".join(f"{start:.3g} to {end:.3g}" for start, end in zip(low, high, strict=True))
    return (f"The ring cameras see nothing of the {name}, which spans {box}. Scale it, or align it (scale, icp, yaw).",)
