"""Writes binary PLY and STL, the formats of scanners and 3D printers: z up, PLY in metres, STL in millimetres."""

import struct
from pathlib import Path

import numpy as np

from epimesh.files.meshes.axes import to_z_up
from epimesh.files.meshes.colors import in_8_bits, vertex_colors
from epimesh.mesh import Mesh

MILLIMETRES = 1000.0
"""Slicers take the numbers of an STL for millimetres: the format itself knows no unit."""

_PLY_AXES = "epimesh: metres, +Z up, front towards -Y"
_STL_AXES = b"epimesh: millimetres, +Z up, front towards -Y"

_STL_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def ply_bytes(mesh: Mesh) -> bytes:
    """Little-endian PLY with normals and, where the mesh has any, 8-bit sRGB colours of the vertices."""
    columns = [("position", "<f4", 3), ("normal", "<f4", 3)]
    names = [f"property float {axis}" for axis in ("x", "y", "z", "nx", "ny", "nz")]
    colors = vertex_colors(mesh)
    if colors is not None:
        columns.append(("color", "u1", 3))
        names += [f"property uchar {name}" for name in ("red", "green", "blue")]
    vertices = np.zeros(len(mesh.vertices), dtype=columns)
    vertices["position"] = to_z_up(mesh.vertices).detach().cpu().numpy()
    vertices["normal"] = to_z_up(mesh.vertex_normals()).detach().cpu().numpy()
    if colors is not None:
        vertices["color"] = in_8_bits(colors)
    faces = np.zeros(len(mesh.faces), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    faces["count"] = 3
    faces["corners"] = mesh.faces.detach().cpu().numpy()
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment {_PLY_AXES}",
        f"element vertex {len(vertices)}",
        *names,
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header",
        "",
    ]
    return "\n".join(header).encode() + vertices.tobytes() + faces.tobytes()


def stl_bytes(mesh: Mesh) -> bytes:
    """Binary STL: triangles without colours and without shared vertices."""
    triangles = np.zeros(len(mesh.faces), dtype=_STL_TRIANGLE)
    triangles["normal"] = to_z_up(mesh.face_normals()).detach().cpu().numpy()
    triangles["corners"] = (to_z_up(mesh.vertices) * MILLIMETRES)[mesh.faces].detach().cpu().numpy()
    header = _STL_AXES.ljust(80)  # must not begin with "solid"
    return header + struct.pack("<I", len(triangles)) + triangles.tobytes()


def wrote(path: Path) -> bool:
    """Whether a PLY or STL says of itself that it was written here, so that its axes and unit are known."""
    with path.open("rb") as file:
        head = file.read(200)
    return head.startswith(_STL_AXES) or _PLY_AXES.encode() in head
