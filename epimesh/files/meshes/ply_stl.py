"""Writes binary PLY and STL, the formats of scanners and 3D printers. The positions stay z up, in metres."""

import struct

import numpy as np

from epimesh.files.meshes.colors import in_8_bits, vertex_colors
from epimesh.mesh import Mesh

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
    vertices["position"] = mesh.vertices.detach().cpu().numpy()
    vertices["normal"] = mesh.vertex_normals().detach().cpu().numpy()
    if colors is not None:
        vertices["color"] = in_8_bits(colors)
    faces = np.zeros(len(mesh.faces), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    faces["count"] = 3
    faces["corners"] = mesh.faces.detach().cpu().numpy()
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment epimesh: metres, +Z up, front towards +X",
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
    triangles["normal"] = mesh.face_normals().detach().cpu().numpy()
    triangles["corners"] = mesh.vertices[mesh.faces].detach().cpu().numpy()
    header = b"epimesh: metres, +Z up, front towards +X".ljust(80)  # must not begin with "solid"
    return header + struct.pack("<I", len(triangles)) + triangles.tobytes()
