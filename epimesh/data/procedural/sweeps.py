"""Shapes that follow a path: tubes along curves, and bodies with a changing cut."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from epimesh.data.procedural.dice import Number
from epimesh.data.procedural.parts import Part
from epimesh.data.procedural.shapes import grid, signed_power


def spline(points: Float[np.ndarray, "K D"], count: int) -> Float[np.ndarray, "count D"]:
    """`count` points along a smooth curve through the given ones."""
    from scipy.interpolate import CubicSpline

    points = np.asarray(points, dtype=float)
    kind = "not-a-knot" if len(points) > 3 else "natural"
    return CubicSpline(np.linspace(0, 1, len(points)), points, bc_type=kind)(np.linspace(0, 1, count))


def arc(radius: Number, *, start: Number = 0.0, stop: Number = np.pi, count: int = 14) -> Float[np.ndarray, "count 3"]:
    """Points on a circle in the x-z plane; angles in radians from +x towards +z."""
    angle = np.linspace(start, stop, count)
    return np.stack([radius * np.cos(angle), 0 * angle, radius * np.sin(angle)], axis=1)


def tube(
    path: Float[np.ndarray, "K 3"],
    radius: Number | Float[np.ndarray, "K"],
    *,
    role: str,
    sides: int = 8,
    closed: bool = False,
) -> Part:
    """A round rod along a path, with flat ends, or a ring where the path is closed (its last point meets the first)."""
    path = np.asarray(path, dtype=float)
    radii = np.broadcast_to(radius, len(path)).astype(float)
    new = np.concatenate([[True], np.linalg.norm(np.diff(path, axis=0), axis=1) > 1e-6])
    path, radii = path[new], radii[new]
    first, second = _frames(path, closed)  # before padding: doubled end points have no direction
    if not closed:
        path, first, second = (np.concatenate([a[:1], a, a[-1:]]) for a in (path, first, second))
        radii = np.concatenate([[0.0], radii, [0.0]])
    angle = np.arange(sides) * (2 * np.pi / sides)
    across = np.cos(angle)[:, None, None] * first[None] + np.sin(angle)[:, None, None] * second[None]
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    v = np.concatenate([length, [length[-1] + np.linalg.norm(path[0] - path[-1])]]) if closed else length
    return grid(path[None] + radii[None, :, None] * across, role=role, v=v, closed=(True, closed))


def _frames(path: np.ndarray, closed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Two directions across the path at every point, turning as little as possible."""
    tangents = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    tangents = tangents / (np.linalg.norm(tangents, axis=1, keepdims=True) + 1e-9)
    across = np.array([0, 0, 1.0]) if abs(tangents[0, 2]) < 0.9 else np.array([1.0, 0, 0])
    first = []
    for tangent in tangents:
        across = across - tangent * (across @ tangent)
        across = across / (np.linalg.norm(across) + 1e-9)
        first.append(across)
    return np.array(first), np.cross(tangents, np.array(first))


def ring(radius: Number, thickness: Number, *, role: str, sides: int = 12) -> Part:
    """A torus lying flat around the origin; `thickness` is the radius of its tube."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    path = np.stack([radius * np.cos(angle), radius * np.sin(angle), 0 * angle], axis=1)
    return tube(path, thickness, role=role, sides=sides, closed=True)


@dataclass(frozen=True, eq=False)
class Cuts:
    """The cuts of a body along y, each a superellipse. Arrays share one length; numbers hold for all cuts.

    Args:
        y: where the cuts are.
        width: half width.
        up: half height of the upper half.
        down: half height of the lower half.
        x: sideways shift.
        z: height of the centre.
        exponent: 2 is an ellipse, 4 a rounded box.
    """

    y: Float[np.ndarray, "K"]
    width: Number | Float[np.ndarray, "K"]
    up: Number | Float[np.ndarray, "K"]
    down: Number | Float[np.ndarray, "K"]
    x: Number | Float[np.ndarray, "K"] = 0.0
    z: Number | Float[np.ndarray, "K"] = 0.0
    exponent: Number | Float[np.ndarray, "K"] = 2.0


def loft(cuts: Cuts, *, role: str, segments: int = 24) -> Part:
    """A closed body through the cuts, with flat ends."""
    angle = -np.arange(segments) * (2 * np.pi / segments)  # clockwise, so that the surface faces outwards
    power = 2 / np.asarray(cuts.exponent)
    x = cuts.x + cuts.width * signed_power(np.cos(angle)[:, None], power)
    height = signed_power(np.sin(angle)[:, None], power)
    z = cuts.z + np.where(height > 0, cuts.up, cuts.down) * height
    shape = (segments, len(cuts.y))
    points = np.stack([np.broadcast_to(a, shape) for a in (x, cuts.y, z)], axis=-1)
    caps = [np.broadcast_to(end.mean(0), end.shape)[:, None] for end in (points[:, 0], points[:, -1])]
    points = np.concatenate([caps[0], points, caps[1]], axis=1)
    y = np.concatenate([cuts.y[:1], cuts.y, cuts.y[-1:]])
    around = max(1.0, float(np.round(2 * (np.max(cuts.width) + np.max(cuts.up)))))
    return grid(points, role=role, u=np.linspace(0, around, segments + 1), v=y - cuts.y[0], closed=(True, False))
