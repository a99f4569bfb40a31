"""Mesh files that other programs open the right way up, and back.

glb, obj, usd   +Y up, front towards +Z: glTF prescribes it, and Blender and game engines assume it for OBJ.
ply, stl        +Z up, front towards +X: the positions as they are; printers' slicers and point tools expect z up.

The front is the side that the photo saw; the world is the z-up one of `epimesh.cameras`. One scene unit is one metre
in every file. glb, obj and usd carry the texture; ply carries a colour per vertex; stl knows no colours.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from epimesh.errors import BadInput, StageFailed
from epimesh.files.atomic import write_whole
from epimesh.files.meshes.asset_extras import with_asset_extras
from epimesh.files.meshes.glb import glb_bytes
from epimesh.files.meshes.obj import obj_files
from epimesh.files.meshes.ply_stl import ply_bytes, stl_bytes
from epimesh.files.meshes.reading import READABLE, read_mesh
from epimesh.files.meshes.usd import usd_files
from epimesh.mesh import Mesh

__all__ = ["FORMATS", "READABLE", "read_mesh", "write_mesh", "write_whole"]

Content = dict[str, bytes]  # file name -> what it holds; the named mesh file comes last


def _glb(mesh: Mesh, name: str) -> Content:
    return {name: glb_bytes(mesh)}


def _ply(mesh: Mesh, name: str) -> Content:
    return {name: ply_bytes(mesh)}


def _stl(mesh: Mesh, name: str) -> Content:
    return {name: stl_bytes(mesh)}


_WRITERS: dict[str, Callable[[Mesh, str], Content]] = {
    "glb": _glb,
    "obj": obj_files,
    "ply": _ply,
    "stl": _stl,
    "usd": usd_files,
}
FORMATS = tuple(_WRITERS)


def write_mesh(mesh: Mesh, path: Path, *, about: Mapping[str, Any] | None = None) -> None:
    """Writes a mesh in the format that the suffix names, whole or not at all.

    An OBJ has NAME.mtl and NAME_texture.png beside it, a USD the latter (spaces in NAME become `_` in these).

    Args:
        mesh: in the z-up world.
        path: ends with one of `FORMATS`. Missing folders are made; an existing file is replaced.
        about: what a GLB says of itself in `asset.extras`: plain values, as JSON has them. Other formats say nothing.

    Raises:
        BadInput: unknown suffix, or the file cannot be written (no permission, disk full).
        StageFailed: the mesh has no triangles, is inside out, or has positions, indices or texture coordinates that
            cannot be right.
        MissingExtra: USD without the package usd-core.
    """
    suffix = path.suffix.lower().lstrip(".")
    if suffix not in _WRITERS:
        raise BadInput(
            f"{path} does not name a mesh format that can be written.\nExpected one of: {', '.join(FORMATS)}."
        )
    _refuse_unusable(mesh)
    files = _WRITERS[suffix](mesh, path.name)
    if suffix == "glb" and about:
        files = {name: with_asset_extras(content, about) for name, content in files.items()}
    write_whole({path.parent / name: content for name, content in files.items()})


def _refuse_unusable(mesh: Mesh) -> None:
    problem = _problem(mesh)
    if problem is not None:
        raise StageFailed(
            f"The mesh cannot be written: {problem}.\n"
            "Expected triangles with finite positions, counter-clockwise seen from outside. Look at the views and the "
            "outputs of the stages before: the surface was lost there."
        )


def _problem(mesh: Mesh) -> str | None:
    if len(mesh.faces) == 0:
        return "it has no triangles"
    not_finite = int((~torch.isfinite(mesh.vertices).all(-1)).sum())
    if not_finite:
        return f"{not_finite} of {len(mesh.vertices)} vertices have positions that are not finite numbers"
    if int(mesh.faces.min()) < 0 or int(mesh.faces.max()) >= len(mesh.vertices):
        return f"its triangles name vertices outside of 0 to {len(mesh.vertices) - 1}"
    if mesh.is_inside_out():
        return "it is closed, and its triangles face inwards"
    if mesh.texture is not None and mesh.uv is None:
        return "it has a texture, but no texture coordinates"
    if mesh.uv is not None and not torch.isfinite(mesh.uv).all():
        return "it has texture coordinates that are not finite numbers"
    return None
