"""Turns the world of the pipeline into that of files, and back. One front: a GLB in Blender and an STL look alike.

World   x front, y left, z up.
Y up    X left, Y up, Z front: glTF prescribes it, and Blender, engines and USD assume it.
Z up    X left, Y back, Z up: what Blender makes of a y-up file, so PLY, STL and 3MF lie on it.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def to_y_up(vectors: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """World positions or directions as glTF, OBJ and USD have them: the front looks along +Z."""
    return vectors[:, [1, 2, 0]]


def from_y_up(vectors: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """Undoes `to_y_up`."""
    return vectors[:, [2, 0, 1]]


def to_z_up(vectors: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """World positions or directions as PLY, STL and 3MF have them: the front looks along -Y."""
    x, y, z = vectors.unbind(-1)
    return torch.stack([y, -x, z], dim=-1)


def from_z_up(vectors: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """Undoes `to_z_up`."""
    x, y, z = vectors.unbind(-1)
    return torch.stack([-y, x, z], dim=-1)
