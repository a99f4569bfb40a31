"""Writes Wavefront OBJ with its material and texture: what old and simple programs open."""

import io
import re
from pathlib import PurePath

import numpy as np
import torch
from torch import Tensor

from epimesh.files.meshes.axes import to_y_up
from epimesh.files.meshes.colors import GREY, png_bytes
from epimesh.mesh import Mesh

# The first line of every OBJ: the format itself cannot say which way is up.
HEADER = "# epimesh: metres, +Y up, front towards +Z"


def obj_files(mesh: Mesh, name: str) -> dict[str, bytes]:
    """The OBJ called `name`, its .mtl, and its texture where there is one: contents by file name, the OBJ last.

    Colours of vertices follow the positions, an extension that Blender, MeshLab and others read.
    """
    stem = re.sub(r"\s", "_", PurePath(name).stem)  # spaces in references break many readers
    files = {}
    texture = None
    if mesh.texture is not None:
        texture = f"{stem}_texture.png"
        files[texture] = png_bytes(mesh.texture)
    files[f"{stem}.mtl"] = _material(stem, texture, mesh).encode()
    files[name] = _text(mesh, stem).encode()
    return files


def _material(stem: str, texture: str | None, mesh: Mesh) -> str:
    plain = 1.0 if texture or mesh.vertex_rgb is not None else GREY
    lines = [f"newmtl {stem}", "Ka 0 0 0", f"Kd {plain:g} {plain:g} {plain:g}", "Ks 0 0 0", "d 1", "illum 1"]
    return "\n".join([*lines, *([f"map_Kd {texture}"] if texture else []), ""])


def _text(mesh: Mesh, stem: str) -> str:
    positions = to_y_up(mesh.vertices)
    if mesh.texture is None and mesh.vertex_rgb is not None:
        positions = torch.cat([positions, mesh.vertex_rgb.clamp(0, 1)], dim=-1)
    parts = [f"{HEADER}\nmtllib {stem}.mtl\no {stem}\n", _lines("v", positions)]
    parts.append(_lines("vn", to_y_up(mesh.vertex_normals())))
    corner = "{0}//{0}"
    if mesh.uv is not None:
        upward = torch.stack([mesh.uv[:, 0], 1 - mesh.uv[:, 1]], dim=-1)  # OBJ counts v from the lower edge
        parts.append(_lines("vt", upward))
        corner = "{0}/{0}/{0}"
    faces = (mesh.faces + 1).tolist()
    parts.append(f"usemtl {stem}\n")
    parts.extend("f " + " ".join(corner.format(index) for index in face) + "\n" for face in faces)
    return "".join(parts)


def _lines(kind: str, values: Tensor) -> str:
    buffer = io.StringIO()
    np.savetxt(buffer, values.detach().cpu().double().numpy(), fmt=f"{kind}" + " %.7g" * values.shape[1])
    return buffer.getvalue()
