"""Images of meshes whose triangles may face either way, as those of many modellers do."""

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.mesh import Mesh
from epimesh.rendering import Light, RayCaster, shading, surface_color
from epimesh.views import Views


def render_two_sided(mesh: Mesh, cameras: Cameras, *, light: Light, supersample: int) -> Views:
    """As `epimesh.rendering.render_mesh`, but both sides of a surface are lit alike and normals face the camera.

    Args:
        mesh: with a texture, vertex colours, or neither (then light grey).
        cameras: where from, and the image size.
        light: how it is lit.
        supersample: rays per pixel along each side; coverage and colour are their mean.

    Returns:
        Views on white. Depth is that of the nearest ray that hit within the pixel, infinite where none did.
    """
    caster = RayCaster(mesh.vertices, mesh.faces, threads=1)
    normals = mesh.face_normals(), mesh.corner_normals()
    parts = [_view(mesh, *normals, caster, cameras[view], light, supersample) for view in range(len(cameras))]
    rgb, alpha, seen_normals, depth = (torch.stack(channel) for channel in zip(*parts, strict=True))
    return Views(rgb=rgb, alpha=alpha, cameras=cameras, normals=seen_normals, depth=depth)


def _view(
    mesh: Mesh,
    face_normals: Float[Tensor, "F 3"],
    corner_normals: Float[Tensor, "F 3 3"],
    caster: RayCaster,
    camera: Cameras,
    light: Light,
    supersample: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    finer = camera.resized(camera.height * supersample, camera.width * supersample)
    origins, directions = (part[0] for part in finer.rays())
    hits = caster.cast(origins, directions)
    hit, weights = hits.hit, hits.barycentric[hits.hit]
    face, rays = hits.face[hit], directions[hit]
    normal = torch.nn.functional.normalize((corner_normals[face] * weights[..., None]).sum(1), dim=-1)
    away = (face_normals[face] * rays).sum(-1, keepdim=True) > 0  # smooth normals may lean away at a rim that is seen
    normal = torch.where(away, -normal, normal)
    layers = torch.zeros(*hit.shape, 8)  # colour on white, coverage, normal, depth
    layers[..., :3], layers[..., 7] = 1, torch.inf
    color = surface_color(mesh, face, weights) * shading(normal, light)[:, None]
    depth = hits.distance[hit] * (rays @ camera.forward[0])
    layers[hit] = torch.cat([color.clamp(0, 1), torch.ones(len(face), 1), normal, depth[:, None]], dim=-1)
    pixels = layers.reshape(camera.height, supersample, camera.width, supersample, 8).permute(4, 0, 2, 1, 3).flatten(3)
    means = pixels[:7].mean(-1)
    return means[:3], means[3:4], torch.nn.functional.normalize(means[4:7], dim=0), pixels[7].amin(-1)
