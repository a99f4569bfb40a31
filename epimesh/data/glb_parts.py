"""What a GLB shows, part by part: each piece of a scene where it stands, with the base colour of its material.

Metal, roughness, bumps, glow and transparency are left out: rays do not know them. Bones do not move anything.

Source: Khronos, "glTF 2.0 Specification" (2021), section 3.9.2: the base colour is the product of a picture (sRGB), a
factor (linear) and a colour per vertex (linear), each where it is given.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from epimesh.files.meshes.bounds import loaded_scene
from epimesh.files.meshes.colors import to_linear, to_srgb
from epimesh.mesh import Mesh

_GREY = 0.8  # sRGB, of parts without any colour


def read_parts(path: Path) -> list[Mesh]:
    """The parts with triangles, each with a texture or else with a colour per vertex, in the coordinates of the scene.

    Whatever is wrong with the file makes trimesh raise errors of any kind.
    """
    import trimesh

    scene = loaded_scene(path)
    pictures: dict[int, Tensor] = {}
    parts = []
    for node in scene.graph.nodes_geometry:
        matrix, name = scene.graph[node]
        piece = scene.geometry[name]
        if isinstance(piece, trimesh.Trimesh) and len(piece.faces):
            parts.append(_part(piece, matrix, pictures))
    return parts


def _part(piece: Any, matrix: np.ndarray, pictures: dict[int, Tensor]) -> Mesh:
    """A piece moved by a 4 x 4 matrix. Pictures that were read are kept, since many pieces may share a material."""
    from trimesh import transform_points

    vertices = torch.from_numpy(np.array(transform_points(piece.vertices, matrix))).float()
    faces = torch.from_numpy(np.array(piece.faces)).long()
    if np.linalg.det(matrix[:3, :3]) < 0:  # a mirror turns triangles inside out
        faces = faces.flip(1)
    material = getattr(piece.visual, "material", None)
    factor = _factor(material)
    picture, uv = getattr(material, "baseColorTexture", None), getattr(piece.visual, "uv", None)
    if picture is None or uv is None:
        return Mesh(vertices, faces, vertex_rgb=_vertex_rgb(piece, factor))
    uv = torch.from_numpy(np.array(uv)).float()
    uv[:, 1] = 1 - uv[:, 1]  # trimesh flips v when it reads
    if id(material) not in pictures:
        pictures[id(material)] = _texture(picture, factor)
    return Mesh(vertices, faces, uv=uv, texture=pictures[id(material)])


def _factor(material: Any) -> Float[Tensor, "3"]:
    """The material's colour, linear."""
    factor = getattr(material, "baseColorFactor", None)
    if factor is None:
        return torch.ones(3)
    values = np.asarray(factor)
    scale = 255 if np.issubdtype(values.dtype, np.integer) else 1
    return torch.from_numpy(values[:3].astype(np.float32) / scale)


def _texture(picture: Image.Image, factor: Float[Tensor, "3"]) -> Float[Tensor, "3 T1 T2"]:
    texture = torch.from_numpy(np.array(picture.convert("RGB"))).float().permute(2, 0, 1) / 255
    if bool((factor == 1).all()):
        return texture
    return to_srgb(to_linear(texture) * factor[:, None, None])


def _vertex_rgb(piece: Any, factor: Float[Tensor, "3"]) -> Float[Tensor, "N 3"]:
    if piece.visual.kind == "vertex":
        linear = torch.from_numpy(np.array(piece.visual.vertex_colors)[:, :3]).float() / 255
        return to_srgb(linear * factor)
    if getattr(piece.visual, "material", None) is None:
        return torch.full((len(piece.vertices), 3), _GREY)
    return to_srgb(factor).expand(len(piece.vertices), 3).clone()
