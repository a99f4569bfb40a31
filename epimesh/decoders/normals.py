"""Pictures of normals into normals of the world."""

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras


def world_normals(
    pictures: Float[Tensor, "V 3 H W"], alpha: Float[Tensor, "V 1 H W"], photo: Cameras
) -> Float[Tensor, "V 3 H W"]:
    """Unit normals in the world, zero off the object.

    Args:
        pictures: (n + 1) / 2 of normals n in the frame of the photo's camera, for every view: x right, y up, z towards
            the viewer. A surface that faces the photo is (.5, .5, 1) from wherever it is seen.
        alpha: coverage.
        photo: the single camera of the photo.

    Source:
        Long et al., "Wonder3D" (arXiv:2310.15008): its normals are those of the front view.
    """
    to_world = photo.world_to_camera[0, :3, :3].T @ torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    normals = torch.einsum("ij,vjhw->vihw", to_world.to(pictures), pictures * 2 - 1)
    return torch.nn.functional.normalize(normals, dim=1) * (alpha > 0.5)
