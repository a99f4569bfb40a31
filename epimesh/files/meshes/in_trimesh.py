"""A mesh as an object of trimesh, for the many programs that speak it."""

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from epimesh.files.meshes.axes import to_y_up
from epimesh.files.meshes.colors import in_8_bits
from epimesh.mesh import Mesh

if TYPE_CHECKING:
    import trimesh


def as_trimesh(mesh: Mesh) -> "trimesh.Trimesh":
    """The same triangles in the same order, with texture or colours: metres, +Y up, front towards +Z, as in a GLB."""
    import trimesh

    found = trimesh.Trimesh(to_y_up(mesh.vertices).cpu().numpy(), mesh.faces.cpu().numpy(), process=False)
    if mesh.texture is not None and mesh.uv is not None:
        picture = Image.fromarray(in_8_bits(mesh.texture.permute(1, 2, 0)))
        material = trimesh.visual.material.PBRMaterial(
            baseColorTexture=picture, metallicFactor=0.0, roughnessFactor=1.0
        )
        upward = np.array(mesh.uv.cpu())
        upward[:, 1] = 1 - upward[:, 1]  # trimesh counts v from the lower edge
        found.visual = trimesh.visual.TextureVisuals(uv=upward, material=material)
    elif mesh.vertex_rgb is not None:
        found.visual.vertex_colors = in_8_bits(mesh.vertex_rgb)
    return found
