"""Soft bodies: round cones that melt into each other."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from epimesh.data.procedural.dice import Number
from epimesh.data.procedural.parts import Part, projected_uv

Point = tuple[Number, Number, Number]


@dataclass(frozen=True)
class Limb:
    """A cone between two balls.

    Args:
        start: centre of the first ball.
        end: centre of the second ball.
        start_radius: of the first ball.
        end_radius: of the second ball.
        role: of the surface near it.
    """

    start: Point
    end: Point
    start_radius: Number
    end_radius: Number
    role: str

    def mirrored(self) -> "Limb":
        """Its reflection across x."""
        (ax, ay, az), (bx, by, bz) = self.start, self.end
        return replace(self, start=(-ax, ay, az), end=(-bx, by, bz))

    def distance(self, points: Float[np.ndarray, "*shape 3"]) -> Float[np.ndarray, "*shape"]:
        """To its surface, negative inside (approximate: the cone's slope is ignored)."""
        start, axis = np.array(self.start), np.array(self.end) - self.start
        along = np.clip((points - start) @ axis / (axis @ axis + 1e-9), 0, 1)
        away = np.linalg.norm(points - start - along[..., None] * axis, axis=-1)
        return away - (self.start_radius + (self.end_radius - self.start_radius) * along)


def pairs(limbs: list[Limb]) -> list[Limb]:
    """Every limb and its mirror image."""
    return [*limbs, *(limb.mirrored() for limb in limbs)]


def blended(limbs: list[Limb], softness: Number, *, cells: int = 38) -> list[Part]:
    """The common surface of all limbs, one part per role.

    Args:
        limbs: what to join.
        softness: width of the transitions, in scene units.
        cells: of the grid along the longest side, on which the surface is found.

    Source:
        The smooth minimum is the polynomial one of Inigo Quilez, "smooth minimum" (iquilezles.org/articles/smin).
    """
    from skimage.measure import marching_cubes

    ends = np.array([[limb.start, limb.end] for limb in limbs])
    radii = np.array([[limb.start_radius, limb.end_radius] for limb in limbs])
    low = (ends - radii[..., None]).min((0, 1)) - softness - 0.02
    high = (ends + radii[..., None]).max((0, 1)) + softness + 0.02
    step = float((high - low).max()) / cells
    axes = [low[k] + step * np.arange(int(np.ceil((high[k] - low[k]) / step)) + 1) for k in range(3)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    field = limbs[0].distance(points)
    for limb in limbs[1:]:
        distance = limb.distance(points)
        share = np.clip(0.5 + 0.5 * (field - distance) / softness, 0, 1)
        field = field * (1 - share) + distance * share - softness * share * (1 - share)
    corners, faces, _, _ = marching_cubes(field, 0.0)
    vertices = corners.astype(float) * step + low
    return _by_role(vertices, faces.astype(int), limbs)


def _by_role(vertices: np.ndarray, faces: np.ndarray, limbs: list[Limb]) -> list[Part]:
    """Triangles in the role of the nearest limb."""
    middles = vertices[faces].mean(1)
    nearest = np.stack([limb.distance(middles) for limb in limbs]).argmin(0)
    roles = np.array([limb.role for limb in limbs])[nearest]
    parts = []
    for role in dict.fromkeys(limb.role for limb in limbs):
        mine = faces[roles == role]
        if len(mine):
            used, renumbered = np.unique(mine, return_inverse=True)
            corners = renumbered.reshape(mine.shape)
            parts.append(Part(vertices[used], corners, projected_uv(vertices[used], corners), role))
    return parts
