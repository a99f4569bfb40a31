"""Simple shapes as numbers on a grid, positive inside, and the meshes of their zero level."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.errors import StageFailed
from epimesh.mesh import Mesh

HALF_SIDE = 0.8  # scene units; more than any object that the ring of cameras shows whole


def grid_points(resolution: int) -> Float[Tensor, "R R R 3"]:
    """Points of a regular grid over the cube of half side `HALF_SIDE`, both ends included, indexed [x, y, z]."""
    axis = torch.linspace(-HALF_SIDE, HALF_SIDE, resolution)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)


def mesh_of(field: Float[Tensor, "R R R"]) -> Mesh:
    """The closed surface where the field is zero, by marching cubes; what reaches the cube's border is closed there.

    Raises:
        StageFailed: the field is nowhere positive.
    """
    from skimage.measure import marching_cubes

    if not bool((field > 0).any()):
        raise StageFailed("The shape is empty: its field is nowhere positive.\nExpected a silhouette with some pixels.")
    resolution = field.shape[0]
    spacing = 2 * HALF_SIDE / (resolution - 1)
    outside = -float(field.abs().max())
    closed = np.pad(field.numpy(), 1, constant_values=outside)
    vertices, faces, _, _ = marching_cubes(closed, 0.0, gradient_direction="ascent", allow_degenerate=False)
    positions = torch.from_numpy(vertices.astype(np.float32)) * spacing - HALF_SIDE - spacing
    return Mesh(positions, torch.from_numpy(faces.astype(np.int64)))


def signed_outline_distance(alpha: Float[Tensor, "H W"]) -> Float[Tensor, "H W"]:
    """Distance of every pixel centre to the silhouette's outline in pixels, positive inside."""
    from scipy.ndimage import distance_transform_edt

    inside = np.pad(alpha.numpy() > 0.5, 1)
    if not inside.any():
        return torch.full(alpha.shape, -float(max(alpha.shape)))
    signed = distance_transform_edt(inside) - distance_transform_edt(~inside)
    # The outline runs between pixel centres: half a pixel nearer than the next centre of the other kind.
    return torch.from_numpy((signed - 0.5 * np.sign(signed))[1:-1, 1:-1]).float()


def sampled_at(image: Float[Tensor, "H W"], pixels: Float[Tensor, "*points 2"]) -> Float[Tensor, "*points"]:
    """Bilinear look-up at pixel positions (u, v); beyond the frame the value at its border."""
    height, width = image.shape
    places = pixels / pixels.new_tensor([width, height]) * 2 - 1
    flat = places.reshape(1, 1, -1, 2)
    found = torch.nn.functional.grid_sample(image[None, None], flat, padding_mode="border", align_corners=False)
    return found.reshape(pixels.shape[:-1])
