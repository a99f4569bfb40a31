"""Mesh files that other programs open the right way up, all with the same front, and back.

glb, gltf, obj, usd, usdz   +Y up, front towards +Z, metres: glTF prescribes it, Blender and engines assume it for OBJ.
ply                         +Z up, front towards -Y, metres: where Blender puts a GLB, too.
stl, 3mf                    the same in millimetres, which slicers assume of STL.

The front is the side that the photo saw; the world is the z-up one of `epimesh.cameras`. One scene unit is one metre,
unless `ExportSettings` says how tall the mesh is. The first five carry the texture; ply carries a colour per vertex;
stl and 3mf know no colours. Objects inside are named after the file.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import torch

from epimesh.errors import BadInput, StageFailed
from epimesh.files.atomic import write_whole
from epimesh.files.meshes.asset_extras import with_asset_extras
from epimesh.files.meshes.compress import check_compressor, compressed
from epimesh.files.meshes.glb import glb_bytes, gltf_files
from epimesh.files.meshes.obj import obj_files
from epimesh.files.meshes.ply_stl import ply_bytes, stl_bytes
from epimesh.files.meshes.reading import READABLE, read_mesh
from epimesh.files.meshes.settings import ExportSettings, metres_of
from epimesh.files.meshes.three_mf import three_mf_bytes
from epimesh.files.meshes.usd import check_usd, usd_files, usdz_bytes
from epimesh.mesh import Mesh

__all__ = [
    "FORMATS",
    "READABLE",
    "ExportSettings",
    "check_formats",
    "metres_of",
    "read_mesh",
    "write_mesh",
    "write_whole",
]

Content = dict[str, bytes]  # file name -> what it holds; the named mesh file comes last


def _glb(mesh: Mesh, name: str, settings: ExportSettings) -> Content:
    content = glb_bytes(mesh, PurePath(name).stem, settings.texture_format)
    return {name: content if settings.compress == "none" else compressed(content, settings.compress)}


def _gltf(mesh: Mesh, name: str, settings: ExportSettings) -> Content:
    return gltf_files(mesh, name, settings.texture_format)


def _obj(mesh: Mesh, name: str, settings: ExportSettings) -> Content:
    return obj_files(mesh, name)


def _ply(mesh: Mesh, name: str, settings: ExportSettings) -> Content:
    return {name: ply_bytes(mesh)}


def _stl(mesh: Mesh, name: str, settings: ExportSettings) -> Content:
    return {name: stl_bytes(mesh)}


def _usd(mesh: Mesh, name: str, settings: ExportSettings) -> Content:
    return usd_files(mesh, name)


def _usdz(mesh: Mesh, name: str, settings: ExportSettings) -> Content:
    return {name: usdz_bytes(mesh, name)}


def _three_mf(mesh: Mesh, name: str, settings: ExportSettings) -> Content:
    return {name: three_mf_bytes(mesh, PurePath(name).stem)}


_WRITERS: dict[str, Callable[[Mesh, str, ExportSettings], Content]] = {
    "glb": _glb,
    "gltf": _gltf,
    "obj": _obj,
    "ply": _ply,
    "stl": _stl,
    "3mf": _three_mf,
    "usd": _usd,
    "usdz": _usdz,
}
FORMATS = tuple(_WRITERS)
_AS_IT_IS = ExportSettings()


def check_formats(formats: Sequence[str], settings: ExportSettings = _AS_IT_IS) -> None:
    """Refuses what cannot be written here, before anything is computed.

    Raises:
        BadInput: none, or an unknown one.
        MissingExtra: what writes one of them is not installed.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise BadInput(
            f"Cannot write {', '.join(unknown) or 'nothing'}.\nExpected --formats from: {', '.join(FORMATS)}."
        )
    for name in formats:
        if name.startswith("usd"):
            check_usd(f"NAME.{name}")
    if settings.compress != "none":
        check_compressor()


def write_mesh(
    mesh: Mesh, path: Path, settings: ExportSettings = _AS_IT_IS, *, about: Mapping[str, Any] | None = None
) -> None:
    """Writes a mesh in the format that the suffix names, whole or not at all.

    An OBJ has NAME.mtl and NAME_texture.png beside it (spaces in NAME become `_` in these), a USD the latter, a glTF
    NAME.bin and NAME_texture.

    Args:
        mesh: in the z-up world.
        path: ends with one of `FORMATS`. Missing folders are made; an existing file is replaced.
        settings: origin, height, texture, compression.
        about: what a GLB says of itself in `asset.extras`: plain values, as JSON has them. Other formats say nothing.

    Raises:
        BadInput: unknown suffix, or the file cannot be written (no permission, disk full).
        StageFailed: the mesh has no triangles, is inside out, or has positions, indices or texture coordinates that
            cannot be right.
        MissingExtra: USD without the package usd-core, compression without gltf-transform.
    """
    suffix = path.suffix.lower().lstrip(".")
    if suffix not in _WRITERS:
        raise BadInput(
            f"{path} does not name a mesh format that can be written.\nExpected one of: {', '.join(FORMATS)}."
        )
    _refuse_unusable(mesh)
    files = _WRITERS[suffix](settings.placed(mesh), path.name, settings)
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
