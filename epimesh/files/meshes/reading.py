"""Reads mesh files back into the z-up world."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from epimesh.errors import BadInput
from epimesh.files.meshes.axes import from_y_up, from_z_up
from epimesh.files.meshes.bounds import loaded_scene
from epimesh.files.meshes.colors import to_srgb
from epimesh.files.meshes.ply_stl import MILLIMETRES
from epimesh.mesh import Mesh

READABLE = ("glb", "gltf", "obj", "ply", "stl")
_Y_UP = ("glb", "gltf", "obj")


def read_mesh(path: Path) -> Mesh:
    """The mesh in a file of `write_mesh`, or of another program that keeps the same conventions.

    Args:
        path: a GLB, glTF or OBJ (+Y up, front towards +Z), a PLY or STL (+Z up, front towards -Y); in metres, an STL in
            millimetres.

    Raises:
        BadInput: the file is missing, of another kind, damaged, or holds no triangles.
    """
    suffix = path.suffix.lower().lstrip(".")
    if suffix not in READABLE:
        raise BadInput(f"{path} does not name a mesh file that can be read.\nExpected one of: {', '.join(READABLE)}.")
    if not path.is_file():
        raise BadInput(f"There is no file {path}.\nExpected a mesh file: check the path.")
    found = _loaded(path)
    vertices = torch.from_numpy(np.array(found.vertices)).float()
    faces = torch.from_numpy(np.array(found.faces)).long()
    if len(faces) == 0 or not torch.isfinite(vertices).all():
        raise BadInput(f"{path} holds {len(faces)} triangles or positions that are not finite.\nExpected a whole mesh.")
    uv, texture = _texture(found)
    if suffix == "stl":
        vertices = vertices / MILLIMETRES
    return Mesh(
        from_y_up(vertices) if suffix in _Y_UP else from_z_up(vertices),
        faces,
        uv=uv,
        texture=texture,
        vertex_rgb=_vertex_rgb(found, linear=suffix in ("glb", "gltf")) if texture is None else None,
    )


def _loaded(path: Path) -> Any:
    try:
        scene = loaded_scene(path)
        found = scene.to_mesh()
        if len(scene.geometry) == 1:  # merging loses the vertex colours of meshes that have a material too
            (only,) = scene.geometry.values()
            found.vertex_attributes.update(getattr(only.visual, "vertex_attributes", {}))
        return found
    except BadInput:
        raise
    except Exception as error:  # broken files make trimesh raise anything
        reason = str(error)[:200] or type(error).__name__
        raise BadInput(
            f"{path} cannot be read as a mesh ({reason}).\nExpected a whole file: write or copy it again."
        ) from error


def _texture(found: Any) -> tuple[Tensor | None, Tensor | None]:
    """Texture coordinates with v down, and the base colour picture."""
    visual = found.visual
    if getattr(visual, "uv", None) is None:
        return None, None
    uv = torch.from_numpy(np.array(visual.uv)).float()
    uv[:, 1] = 1 - uv[:, 1]  # trimesh flips v when it reads
    material = visual.material
    picture = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    if picture is None:
        return uv, None
    pixels = np.array(picture.convert("RGB"))
    return uv, torch.from_numpy(pixels).permute(2, 0, 1).float().contiguous() / 255


def _vertex_rgb(found: Any, *, linear: bool) -> Tensor | None:
    colors = found.vertex_attributes.get("color")
    if colors is None:
        if found.visual.kind != "vertex":
            return None
        colors = found.visual.vertex_colors
    values = np.array(colors)
    scale = np.iinfo(values.dtype).max if np.issubdtype(values.dtype, np.integer) else 1
    rgb = torch.from_numpy(values[:, :3].astype(np.float32) / scale)
    return to_srgb(rgb) if linear else rgb
