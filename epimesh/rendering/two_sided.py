"""Images of meshes whose triangles may face either way, as those of many modellers do."""

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.mesh import Mesh
from epimesh.rendering.ray_casting import Light, RayCaster, shading, surface_color
from epimesh.views import Views


def render_two_sided(mesh: Mesh, cameras: Cameras, *, light: Light, supersample: int) -> Views:
    """As `ray_casting.render_mesh`, but both sides of a surface are lit alike and normals face the camera.

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
    rows, columns = _frame_around(mesh.vertices, camera)
    fine_rows, fine_columns = (slice(part.start * supersample, part.stop * supersample) for part in (rows, columns))
    finer = camera.resized(camera.height * supersample, camera.width * supersample)
    origins, directions = (part[0, fine_rows, fine_columns] for part in finer.rays())
    hits = caster.cast(origins, directions)
    hit, weights = hits.hit, hits.barycentric[hits.hit]
    face, rays = hits.face[hit], directions[hit]
    normal = torch.nn.functional.normalize((corner_normals[face] * weights[..., None]).sum(1), dim=-1)
    away = (face_normals[face] * rays).sum(-1, keepdim=True) > 0  # smooth normals may lean away at a rim that is seen
    normal = torch.where(away, -normal, normal)
    color = surface_color(mesh, face, weights) * shading(normal, light)[:, None]
    depth = hits.distance[hit] * (rays @ camera.forward[0])
    layers = _nothing(*hit.shape)
    layers[:, hit] = torch.cat([color.clamp(0, 1), torch.ones(len(face), 1), normal, depth[:, None]], dim=-1).T
    height, width = rows.stop - rows.start, columns.stop - columns.start
    samples = layers.reshape(8, height, supersample, width, supersample)
    image = _nothing(camera.height, camera.width)
    image[:7, rows, columns] = samples[:7].mean(dim=(2, 4))
    image[7, rows, columns] = samples[7].amin(dim=(1, 3))
    return image[:3], image[3:4], torch.nn.functional.normalize(image[4:7], dim=0), image[7]


def _nothing(height: int, width: int) -> Float[Tensor, "8 H W"]:
    """Colour on white, coverage, normal and depth where nothing is."""
    layers = torch.zeros(8, height, width)
    layers[:3], layers[7] = 1, torch.inf
    return layers


def _frame_around(vertices: Float[Tensor, "N 3"], camera: Cameras) -> tuple[slice, slice]:
    """Rows and columns that can show the object; elsewhere no ray needs to be cast."""
    pixels, depth = camera.project(vertices)
    if not bool((depth > 0).all()):
        return slice(0, camera.height), slice(0, camera.width)
    limit = pixels.new_tensor([camera.width, camera.height])
    left, top = pixels.amin(dim=(0, 1)).floor().clamp_min(0).minimum(limit - 1).int().tolist()
    right, bottom = pixels.amax(dim=(0, 1)).ceil().minimum(limit).clamp_min(1).int().tolist()
    return slice(top, bottom), slice(left, right)
