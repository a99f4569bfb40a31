"""Pieces of an object: triangles, texture positions, and the role that decides their material."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from epimesh.data.procedural.dice import Number


@dataclass(frozen=True, eq=False)
class Part:
    """One piece of an object, z up, front towards -y.

    Args:
        vertices: positions.
        faces: triangles, counter-clockwise seen from outside.
        uv: texture position of every corner, v downwards; a texture repeats after 1.
        role: pieces of one role share one material, such as "legs".
        fitted: the texture covers the piece (or each of its sides) exactly once, so it must not be rescaled.
    """

    vertices: Float[np.ndarray, "N 3"]
    faces: Int[np.ndarray, "F 3"]
    uv: Float[np.ndarray, "F 3 2"]
    role: str
    fitted: bool = False

    def moved(self, x: Number = 0.0, y: Number = 0.0, z: Number = 0.0) -> "Part":
        """Shifted."""
        return replace(self, vertices=self.vertices + np.array([x, y, z], dtype=float))

    def scaled(self, x: Number, y: Number, z: Number) -> "Part":
        """Stretched by positive factors about the origin."""
        return replace(self, vertices=self.vertices * np.array([x, y, z], dtype=float))

    def turned(self, axis: str, angle: Number) -> "Part":
        """Rotated about the axis "x", "y" or "z" by `angle` radians, counter-clockwise seen from its tip."""
        return replace(self, vertices=self.vertices @ rotation(axis, angle).T)

    def rotated(self, matrix: Float[np.ndarray, "3 3"]) -> "Part":
        """Rotated by a matrix."""
        return replace(self, vertices=self.vertices @ matrix.T)

    def mirrored(self, axis: int = 0) -> "Part":
        """Reflected in the plane through the origin across `axis` (0, 1, 2 for x, y, z)."""
        vertices = self.vertices.copy()
        vertices[:, axis] *= -1
        return replace(self, vertices=vertices, faces=self.faces[:, ::-1], uv=self.uv[:, ::-1])

    def made_of(self, role: str) -> "Part":
        """The same piece in another role."""
        return replace(self, role=role)

    @property
    def low(self) -> Float[np.ndarray, "3"]:
        """Lower corner of the bounding box."""
        return self.vertices.min(0)

    @property
    def high(self) -> Float[np.ndarray, "3"]:
        """Upper corner of the bounding box."""
        return self.vertices.max(0)


def rotation(axis: str, angle: Number) -> Float[np.ndarray, "3 3"]:
    """The matrix of a rotation about a coordinate axis by `angle` radians."""
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[[first, second], [first, second]] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return matrix


def both_sides(parts: Sequence[Part], axis: int = 0) -> list[Part]:
    """The parts and their mirror images."""
    return [*parts, *(part.mirrored(axis) for part in parts)]


def bounds(parts: Sequence[Part]) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Lower and upper corner of the common bounding box."""
    return np.min([part.low for part in parts], 0), np.max([part.high for part in parts], 0)


def projected_uv(vertices: Float[np.ndarray, "N 3"], faces: Int[np.ndarray, "F 3"]) -> Float[np.ndarray, "F 3 2"]:
    """Texture positions by looking at every triangle along the axis that it faces most."""
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    axes = np.array([[1, 2], [0, 2], [0, 1]])[np.abs(normals).argmax(1)]
    uv = np.take_along_axis(corners, np.repeat(axes[:, None], 3, axis=1), axis=2)
    return uv * np.array([1.0, -1.0])
