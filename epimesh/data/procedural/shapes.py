"""Simple closed shapes with analytic texture positions: boxes, turned shapes, superquadrics."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from epimesh.data.procedural.dice import Number
from epimesh.data.procedural.parts import Part

Points = Float[np.ndarray, "U V 3"]


def grid(
    points: Points,
    *,
    role: str,
    u: Float[np.ndarray, "P"] | None = None,
    v: Float[np.ndarray, "Q"] | None = None,
    closed: tuple[bool, bool] = (False, False),
    fitted: bool = False,
) -> Part:
    """A surface over a grid of points; it faces along (step in u) x (step in v).

    Args:
        points: the grid.
        role: of the part.
        u: texture positions along the first axis, one more than points where that axis is closed; 0 to 1 by default.
        v: the same for the second axis.
        closed: whether the last row joins the first, for each axis.
        fitted: see `Part`.
    """
    rows, columns = points.shape[:2]
    steps_u, steps_v = rows - (not closed[0]), columns - (not closed[1])
    u = np.linspace(0, 1, steps_u + 1) if u is None else u
    v = np.linspace(0, 1, steps_v + 1) if v is None else v
    i, j = (axis.ravel() for axis in np.meshgrid(np.arange(steps_u), np.arange(steps_v), indexing="ij"))
    corners = [(i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)]
    index = np.stack([(a % rows) * columns + (b % columns) for a, b in corners], 1)
    place = np.stack([np.stack([u[a], v[b]], -1) for a, b in corners], 1).astype(float)
    faces = np.concatenate([index[:, [0, 1, 2]], index[:, [0, 2, 3]]])
    uv = np.concatenate([place[:, [0, 1, 2]], place[:, [0, 2, 3]]])
    vertices = points.reshape(-1, 3).astype(float)
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    real = np.linalg.norm(np.cross(b - a, c - a), axis=1) > 1e-9
    return Part(vertices, faces[real], uv[real], role, fitted)


_BOX_SIDES = (  # u and v direction of every side, seen upright from outside
    ((0, 1, 0), (0, 0, 1)),
    ((0, -1, 0), (0, 0, 1)),
    ((-1, 0, 0), (0, 0, 1)),
    ((1, 0, 0), (0, 0, 1)),
    ((1, 0, 0), (0, 1, 0)),
    ((-1, 0, 0), (0, 1, 0)),
)


def box(width: Number, depth: Number, height: Number, *, role: str, fitted: bool = False) -> Part:
    """A box around the origin; textures in scene units, or once over each side where `fitted`."""
    size = np.array([width, depth, height], dtype=float)
    vertices, faces, uv = [], [], []
    for side, (right, up) in enumerate(np.array(_BOX_SIDES, dtype=float)):
        out = np.cross(right, up)
        corners = np.stack([out - right - up, out + right - up, out + right + up, out - right + up]) * size / 2
        place = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], dtype=float)
        place = place if fitted else place * [abs(right) @ size, abs(up) @ size]
        triangles = np.array([[0, 1, 2], [0, 2, 3]])
        vertices.append(corners)
        faces.append(triangles + 4 * side)
        uv.append(place[triangles])
    return Part(np.concatenate(vertices), np.concatenate(faces), np.concatenate(uv), role, fitted)


@dataclass(frozen=True)
class Section:
    """The horizontal cut of a turned shape; the default is a circle.

    Args:
        segments: corners of the polygon that stands for the circle.
        lobes: number of bulges around.
        lobe_depth: their depth as part of the radius.
        exponent: of the superellipse; 2 is round, 8 nearly square.
        twist: radians from bottom to top.
        width: factor along x.
        depth: factor along y.
    """

    segments: int = 28
    lobes: int = 0
    lobe_depth: Number = 0.0
    exponent: Number = 2.0
    twist: Number = 0.0
    width: Number = 1.0
    depth: Number = 1.0

    def radius(self, angle: Float[np.ndarray, "A"]) -> Float[np.ndarray, "A"]:
        """Of the cut in every direction, as a factor."""
        bulge = 1 + self.lobe_depth * np.cos(self.lobes * angle)
        power = np.abs(np.cos(angle)) ** self.exponent + np.abs(np.sin(angle)) ** self.exponent
        return bulge / power ** (1 / self.exponent)


ROUND = Section()


def lathe(profile: Float[np.ndarray, "P 2"], *, role: str, section: Section = ROUND, fitted: bool = False) -> Part:
    """A turned shape: (radius, height) pairs from the bottom outside upwards, swept around z."""
    radius, height = np.asarray(profile, dtype=float).T
    length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(radius), np.diff(height)))])
    angle = np.arange(section.segments) * (2 * np.pi / section.segments)
    turn = angle[:, None] + section.twist * (height - height[0])[None] / max(float(np.ptp(height)), 1e-6)
    reach = radius[None] * section.radius(angle)[:, None]
    points = np.stack(
        [
            reach * np.cos(turn) * section.width,
            reach * np.sin(turn) * section.depth,
            np.broadcast_to(height, turn.shape),
        ],
        axis=-1,
    )
    around = 1.0 if fitted else max(np.round(2 * np.pi * radius.max()), 1.0)
    v = 1 - length / length[-1] if fitted else -length
    u = np.linspace(0, around, section.segments + 1)
    return grid(points, role=role, u=u, v=v, closed=(True, False), fitted=fitted)


def cylinder(
    radius: Number,
    height: Number,
    *,
    role: str,
    top: Number | None = None,
    bevel: Number = 0.0,
    section: Section = ROUND,
) -> Part:
    """A cylinder or cone standing on the origin.

    Args:
        radius: at the bottom.
        height: upwards.
        role: of the part.
        top: radius at the top, if another.
        bevel: of the edges, as part of the smaller of radius and height.
        section: of the cut.
    """
    top = radius if top is None else top
    cut = bevel * min(radius, height)
    edges = [(radius - cut, 0), (radius, cut), (top, height - cut), (max(top - cut, 0), height)]
    profile = [(0, 0), *(edges if cut > 0 else [(radius, 0), (top, height)]), (0, height)]
    return lathe(np.array(profile, dtype=float), role=role, section=section)


def signed_power(value: np.ndarray, exponent: Number | np.ndarray) -> np.ndarray:
    """|value| ** exponent with the sign of value."""
    return np.sign(value) * np.abs(value) ** exponent


def superquadric(
    half: tuple[Number, Number, Number],
    exponents: tuple[Number, Number] = (1.0, 1.0),
    *,
    role: str,
    steps: int = 16,
    fitted: bool = False,
) -> Part:
    """A body between box (exponents near 0), ellipsoid (1) and octahedron (2).

    Args:
        half: its half sizes.
        exponents: of the vertical and of the horizontal outline.
        role: of the part.
        steps: from pole to pole.
        fitted: see `Part`.

    Source:
        Barr, "Superquadrics and Angle-Preserving Transformations" (1981).
    """
    around = np.linspace(-np.pi, np.pi, 2 * steps + 1)[:-1]
    upward = np.linspace(-np.pi / 2, np.pi / 2, steps + 1)
    level = np.cos(upward)
    level[[0, -1]] = 0
    ring = signed_power(level, exponents[0])
    points = np.stack(
        [
            half[0] * ring * signed_power(np.cos(around), exponents[1])[:, None],
            half[1] * ring * signed_power(np.sin(around), exponents[1])[:, None],
            half[2] * signed_power(np.sin(upward), exponents[0]) * np.ones((2 * steps, 1)),
        ],
        axis=-1,
    )
    repeats = 1.0 if fitted else max(float(np.round(np.pi * (half[0] + half[1]))), 1.0)
    tall = 1.0 if fitted else np.pi * half[2]
    u, v = np.linspace(0, repeats, 2 * steps + 1), np.linspace(tall, 0, steps + 1)
    return grid(points, role=role, u=u, v=v, closed=(True, False), fitted=fitted)


def ellipsoid(half: tuple[Number, Number, Number], *, role: str, steps: int = 12) -> Part:
    """A ball or egg around the origin."""
    return superquadric(half, role=role, steps=steps)
