"""Draws meshes by casting rays: no OpenGL, no window, no GPU. For training views, metrics, baking and turntables."""

import contextlib
import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.mesh import Mesh
from epimesh.views import Views


@dataclass(frozen=True)
class Light:
    """A fixed light in the world: an even part and a directed part. Strengths are factors of the surface colour.

    Args:
        direction: towards the light, any length.
        ambient: strength from everywhere.
        diffuse: strength of the directed light on surfaces that face it.
    """

    direction: tuple[float, float, float] = (0.4, 0.25, 0.88)
    ambient: float = 0.62
    diffuse: float = 0.38


UNLIT = Light(ambient=1.0, diffuse=0.0)


@dataclass(frozen=True, eq=False)
class Hits:
    """Where rays meet a mesh first. `face` is -1 and `distance` infinite for rays that miss.

    Args:
        distance: along the ray, in lengths of its direction vector.
        face: index of the triangle.
        barycentric: weights of the triangle's three corners.
    """

    distance: Float[Tensor, "*rays"]
    face: Int[Tensor, "*rays"]
    barycentric: Float[Tensor, "*rays 3"]

    @property
    def hit(self) -> Tensor:
        """True where the ray meets the mesh."""
        return self.face >= 0


@cache
def import_open3d() -> Any:
    """Open3D, on machines without its system library too.

    Its Linux wheels link to libusb (for depth cameras, not used here), which minimal systems and containers lack. The
    wheel `libusb-package` carries the library; once loaded, Open3D finds it by name.
    """
    with contextlib.suppress(ImportError, OSError):
        import libusb_package

        ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
    import open3d

    open3d.utility.set_verbosity_level(open3d.utility.VerbosityLevel.Error)
    return open3d


class RayCaster:
    """Finds what rays hit, by Embree through Open3D."""

    def __init__(self, vertices: Float[Tensor, "N 3"], faces: Int[Tensor, "F 3"], threads: int = 0) -> None:
        open3d = import_open3d()
        self._threads = threads
        self._scene = open3d.t.geometry.RaycastingScene(nthreads=threads)
        self._scene.add_triangles(
            open3d.core.Tensor(vertices.detach().cpu().float().contiguous().numpy()),
            open3d.core.Tensor(faces.detach().cpu().numpy().astype(np.uint32)),
        )

    def cast(self, origins: Float[Tensor, "*rays 3"], directions: Float[Tensor, "*rays 3"]) -> Hits:
        """The first hit of every ray."""
        open3d = import_open3d()
        rays = torch.cat([origins, directions], dim=-1).float().contiguous().numpy()
        found = self._scene.cast_rays(open3d.core.Tensor(rays), nthreads=self._threads)
        face = torch.from_numpy(found["primitive_ids"].numpy().astype(np.int64))
        face[face == self._scene.INVALID_ID] = -1
        uv = torch.from_numpy(found["primitive_uvs"].numpy())
        barycentric = torch.cat([1 - uv.sum(-1, keepdim=True), uv], dim=-1)
        return Hits(torch.from_numpy(found["t_hit"].numpy()), face, barycentric)

    def occluded(self, origins: Float[Tensor, "*rays 3"], targets: Float[Tensor, "*rays 3"], slack: float) -> Tensor:
        """True where something lies between origin and target, more than `slack` scene units before the target."""
        hits = self.cast(origins, targets - origins)
        length = (targets - origins).norm(dim=-1)
        return hits.distance * length < length - slack


def render_mesh(mesh: Mesh, cameras: Cameras, *, light: Light = UNLIT, supersample: int = 2, threads: int = 0) -> Views:
    """Images of a mesh with coverage, depth and normals.

    Args:
        mesh: with a texture, vertex colours, or neither (then light grey).
        cameras: where from, and the image size.
        light: how it is lit; by default the plain surface colour.
        supersample: rays per pixel along each side; coverage and colour are their mean.
        threads: of the ray caster; 0 means all cores.

    Returns:
        Views on white. Depth and normals are those of the nearest ray that hit within the pixel (mean of normals).
    """
    caster = RayCaster(mesh.vertices, mesh.faces, threads)
    normals = mesh.corner_normals()
    parts = [_render_view(mesh, normals, caster, cameras[i], light, supersample) for i in range(len(cameras))]
    rgb, alpha, world_normals, depth = (torch.stack(channel) for channel in zip(*parts, strict=True))
    return Views(rgb=rgb, alpha=alpha, cameras=cameras, normals=world_normals, depth=depth)


def _render_view(
    mesh: Mesh, normals: Tensor, caster: RayCaster, camera: Cameras, light: Light, supersample: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    height, width = camera.height, camera.width
    origins, directions = camera.resized(height * supersample, width * supersample).rays()
    hits = caster.cast(origins[0], directions[0])
    hit, face, weights = hits.hit, hits.face[hits.hit], hits.barycentric[hits.hit]

    normal = torch.nn.functional.normalize((normals[face] * weights[..., None]).sum(1), dim=-1)
    rgb = torch.ones(*hit.shape, 3)
    rgb[hit] = (surface_color(mesh, face, weights) * shading(normal, light)[:, None]).clamp(0, 1)
    depth = torch.full(hit.shape, torch.inf)
    depth[hit] = hits.distance[hit] * (directions[0][hit] @ camera.forward[0])
    world_normal = torch.zeros(*hit.shape, 3)
    world_normal[hit] = normal

    def blocks(image: Tensor) -> Tensor:  # the rays of each pixel along one axis
        grid = image.reshape(height, supersample, width, supersample, -1)
        return grid.permute(4, 0, 2, 1, 3).reshape(grid.shape[-1], height, width, -1)

    mean_normal = torch.nn.functional.normalize(blocks(world_normal).mean(-1), dim=0)
    return blocks(rgb).mean(-1), blocks(hit.float()).mean(-1), mean_normal, blocks(depth)[0].amin(-1)


def surface_color(mesh: Mesh, face: Int[Tensor, "N"], barycentric: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """The mesh's own colour at points given by triangle and corner weights (bilinear in the texture, repeating)."""
    corners = mesh.faces[face]
    if mesh.texture is not None and mesh.uv is not None:
        uv = (mesh.uv[corners] * barycentric[..., None]).sum(1)
        return sample_texture(mesh.texture, uv)
    if mesh.vertex_rgb is not None:
        return (mesh.vertex_rgb[corners] * barycentric[..., None]).sum(1)
    return torch.full((len(face), 3), 0.8)


def sample_texture(texture: Float[Tensor, "C T1 T2"], uv: Float[Tensor, "N 2"]) -> Float[Tensor, "N C"]:
    """Bilinear texture look-up, repeating outside [0, 1]; (0, 0) is the upper left corner."""
    _, height, width = texture.shape
    position = uv * uv.new_tensor([width, height]) - 0.5
    low = position.floor()
    x, y = (position - low).unbind(-1)
    left, top = low.long().unbind(-1)
    total = torch.zeros(len(uv), texture.shape[0])
    for dx, wx in ((0, 1 - x), (1, x)):
        for dy, wy in ((0, 1 - y), (1, y)):
            total += texture[:, (top + dy) % height, (left + dx) % width].T * (wx * wy)[:, None]
    return total


def shading(normals: Float[Tensor, "N 3"], light: Light) -> Float[Tensor, "N"]:
    """The factor by which `light` brightens or darkens surfaces with the given unit normals."""
    direction = torch.nn.functional.normalize(torch.tensor(light.direction), dim=0)
    return light.ambient + light.diffuse * (normals @ direction).clamp_min(0)
