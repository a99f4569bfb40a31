"""Unrolls a mesh into a square texture, and finds which place of the surface every texel shows."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from epimesh.errors import StageFailed
from epimesh.mesh import Mesh
from epimesh.rendering.ray_casting import RayCaster

_PADDING = 6  # texels that the packer keeps free around every chart


@dataclass(frozen=True, eq=False)
class Texels:
    """The T texels of an atlas that show a place of the surface.

    Args:
        place: row * size + column in the texture.
        face: the triangle each one shows.
        weights: barycentric weights of that triangle's corners at the texel's centre.
        position: in the world, in scene units.
        normal: unit, smooth across curved parts and sharp at creases.
    """

    place: Int[Tensor, "T"]
    face: Int[Tensor, "T"]
    weights: Float[Tensor, "T 3"]
    position: Float[Tensor, "T 3"]
    normal: Float[Tensor, "T 3"]

    def __len__(self) -> int:
        return len(self.place)

    def every(self, step: int) -> "Texels":
        """Each `step`-th texel: a sample of the surface."""
        parts = (self.place, self.face, self.weights, self.position, self.normal)
        return Texels(*(part[::step] for part in parts))


def welded(mesh: Mesh) -> Mesh:
    """The same surface with one vertex per position, and without a texture; colours of vertices stay."""
    vertices, place = torch.unique(mesh.vertices, dim=0, return_inverse=True)
    rgb = None
    if mesh.vertex_rgb is not None:
        rgb = torch.zeros_like(vertices).index_copy_(0, place, mesh.vertex_rgb)
    return Mesh(vertices, place[mesh.faces], vertex_rgb=rgb)


def unwrapped(mesh: Mesh, size: int) -> Mesh:
    """The mesh with texture coordinates. Vertices are repeated only where charts meet; the faces keep their order.

    Args:
        mesh: with one vertex per position.
        size: side of the texture the coordinates are meant for, in texels.

    Source:
        xatlas (Young; after thekla_atlas): charts of low distortion, packed side by side.
    """
    import xatlas

    atlas = xatlas.Atlas()
    atlas.add_mesh(mesh.vertices.float().numpy(), mesh.faces.numpy().astype(np.uint32))
    packing = xatlas.PackOptions()
    packing.resolution, packing.padding, packing.bilinear = size, _PADDING, True
    atlas.generate(xatlas.ChartOptions(), packing)
    original, faces, uv = atlas[0]
    if len(faces) != len(mesh.faces):
        raise StageFailed(
            f"The atlas holds {len(faces)} triangles, the mesh {len(mesh.faces)}.\n"
            "The mesh is damaged; simplify or repair it before texturing."
        )
    vertices = mesh.vertices[torch.from_numpy(original.astype(np.int64))]
    return Mesh(vertices, torch.from_numpy(faces.astype(np.int64)), uv=torch.from_numpy(uv).float())


def texels_of(mesh: Mesh, size: int) -> Texels:
    """Every texel of a size x size texture whose centre lies in a triangle, and one or more for each sliver.

    Triangles thinner than a texel may hold no centre; the free texels at their corners and middles then show them.
    """
    face, weights = _covered(mesh, size)
    _cover_slivers(mesh, size, face, weights)
    place = torch.nonzero(face >= 0)[:, 0]
    face, weights = face[place], weights[place]
    position = (mesh.vertices[mesh.faces[face]] * weights[..., None]).sum(1)
    normal = torch.nn.functional.normalize((mesh.corner_normals()[face] * weights[..., None]).sum(1), dim=-1)
    return Texels(place, face, weights, position, normal)


def _covered(mesh: Mesh, size: int) -> tuple[Tensor, Tensor]:
    """Triangle (-1: none) and barycentric weights under every texel's centre, by rays that fall onto the flat atlas."""
    assert mesh.uv is not None
    flat = torch.cat([mesh.uv * size, torch.zeros(len(mesh.uv), 1)], dim=1)
    centre = torch.arange(size) + 0.5
    rows, columns = torch.meshgrid(centre, centre, indexing="ij")
    above = torch.stack([columns, rows, torch.ones_like(rows)], dim=-1).reshape(-1, 3)
    hits = RayCaster(flat, mesh.faces).cast(above, torch.tensor([0.0, 0.0, -1.0]).expand_as(above).contiguous())
    return hits.face.clone(), hits.barycentric.clamp(0, 1)


def _cover_slivers(mesh: Mesh, size: int, face: Tensor, weights: Tensor) -> None:
    """Gives texels that are still free to the triangles whose corners, edge middles or centre lie in them."""
    assert mesh.uv is not None
    corners = torch.eye(3)
    points = torch.cat([torch.full((1, 3), 1 / 3), (corners + corners.roll(1, 1)) / 2, corners])
    for point in points:
        texel = ((mesh.uv[mesh.faces] * point[:, None]).sum(1) * size).long().clamp(0, size - 1)
        place = texel[:, 1] * size + texel[:, 0]
        free = torch.nonzero(face[place] < 0)[:, 0].flip(0)  # flipped: the first triangle that asks is served
        face.numpy()[place[free].numpy()] = free.numpy()  # numpy: of equal places the last one written stays
        weights[place[free]] = point
