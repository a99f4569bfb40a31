"""Exact solids: extruded outlines, and solids with others cut away (needs manifold3d)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from epimesh.data.procedural.dice import Number
from epimesh.data.procedural.parts import Part, projected_uv
from epimesh.errors import MissingExtra

Outline = Float[np.ndarray, "_ 2"]


def _manifold() -> Any:
    try:
        import manifold3d
    except ImportError as error:
        raise MissingExtra(
            "Procedural objects need manifold3d, which is not installed.\n"
            "Install it with: pip install 'epimesh[objects]'"
        ) from error
    return manifold3d


def extruded(
    outlines: Sequence[Outline], height: Number, *, role: str, twist_deg: Number = 0.0, top: Number = 1.0
) -> Part:
    """An outline in the x-y plane (inner outlines are holes), drawn upwards from z = 0.

    Args:
        outlines: closed polygons; where an even number of them overlap there is nothing.
        height: of the solid.
        role: of the part.
        twist_deg: turn of the top.
        top: size of the top relative to the bottom.
    """
    manifold = _manifold()
    section = manifold.CrossSection([np.asarray(line, dtype=float) for line in outlines], manifold.FillRule.EvenOdd)
    steps = 8 if twist_deg else 0
    return _part(manifold.Manifold.extrude(section, height, steps, twist_deg, (top, top)), role)


def without(part: Part, cutters: Sequence[Part]) -> Part:
    """The part with the space of the cutters taken away. All must be closed."""
    solid = _solid(part)
    for cutter in cutters:
        solid = solid - _solid(cutter)
    return _part(solid, part.role)


def _solid(part: Part) -> Any:
    manifold = _manifold()
    mesh = manifold.Mesh(
        vert_properties=np.ascontiguousarray(part.vertices, np.float32),
        tri_verts=np.ascontiguousarray(part.faces, np.uint32),
    )
    mesh.merge()
    solid = manifold.Manifold(mesh)
    if solid.status() != manifold.Error.NoError or solid.is_empty():
        raise ValueError(f"the part '{part.role}' is not a closed solid: {solid.status()}")
    return solid


def _part(solid: Any, role: str) -> Part:
    mesh = solid.to_mesh()
    vertices = np.asarray(mesh.vert_properties)[:, :3].astype(float)
    faces = np.asarray(mesh.tri_verts).astype(int)
    if not len(faces):
        raise ValueError(f"nothing is left of the part '{role}'")
    return Part(vertices, faces, projected_uv(vertices, faces), role)
