"""What the error budget puts in the place of a stage: found masks, true latents, true depth, true solids."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.decoders import VaeDecoder
from epimesh.errors import BadInput, StageMismatch
from epimesh.evaluation.baselines.photo_only import within_silhouette
from epimesh.evaluation.metrics.visible import depth_maps
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.pipeline.contracts import ViewDecoder
from epimesh.rendering.ray_casting import import_open3d
from epimesh.stages.read.mask_quality import without_specks
from epimesh.stages.read.matting import foreground_colours, refined_edges
from epimesh.stages.read.saliency import find_model, salient_mask
from epimesh.surface import GridSurface, Surface
from epimesh.views import LatentViews, Views

_OCTAVES = (4, 8, 16, 32, 64)  # places of random colour along each side of a textured background
_MARGIN = 1.1  # of the cube of a true surface, around the object
_DEPTH_SIZE = 512  # pixels of the depth maps, so that they limit less than their grid does
_DEPTH_CELLS = 2.0  # cells beyond which it does not matter how far a point lies in front of a depth map


def textured_background(size: int, random: torch.Generator) -> Float[Tensor, "3 S S"]:
    """Soft patches and fine grain of random colours: much to take for an object."""
    picture = torch.zeros(3, size, size)
    for side in _OCTAVES:
        patches = torch.rand(1, 3, side, side, generator=random) - 0.5
        picture += torch.nn.functional.interpolate(patches, (size, size), mode="bicubic")[0] * (4 / side) ** 0.5
    return (0.5 + 0.5 * picture).clamp(0, 1)


def found_again(photo: Photo, background: Float[Tensor, "3 S S"]) -> Photo:
    """The photo as if its mask were unknown: on a background, and cut out by the saliency network as `CutOut` does.

    The frame stays, so that the truth stays in place: only the mask and the colours at its edge differ.

    Raises:
        BadInput: there is no network to find it, or it finds nothing.
    """
    model = find_model()
    if model is None:
        raise BadInput("The mask cannot be found: onnxruntime is missing.\nInstall it, or leave those rungs out.")
    rgb = photo.rgba[:3] * photo.rgba[3:] + background * (1 - photo.rgba[3:])
    coarse = salient_mask(rgb, model)
    alpha, _ = without_specks(refined_edges(rgb, coarse, coarse_side=320), "the answer of the segmentation network")
    return Photo(torch.cat([foreground_colours(rgb, alpha), alpha[None]]), photo.elevation_deg, photo.fov_deg)


def true_latents(views: Views, photo: Photo, decode: ViewDecoder, latent_space: str) -> LatentViews:
    """True views, encoded by the autoencoder of the plain decoder; that of the pipeline if it has a plain one.

    Raises:
        StageMismatch: there is no plain decoder for these latents.
    """
    plain = decode if isinstance(decode, VaeDecoder) else VaeDecoder()
    if plain.latent_space != latent_space:
        raise StageMismatch(
            f"The views are latents of '{latent_space}', which the plain decoder ({plain.weights}) does not encode.\n"
            "Expected a pipeline whose decoder is a VaeDecoder of that family."
        )
    with torch.inference_mode():
        latents = plain.autoencoder.to("cpu", torch.float32).encode(torch.cat([views.rgb, views.alpha], dim=1))
    return LatentViews(latents.clone(), views.cameras, photo, latent_space)


@dataclass(frozen=True, eq=False)
class TrueSolid(Surface):
    """The signed distance to a closed mesh, exact wherever it is asked.

    Args:
        mesh: closed.
        radius: half side of the cube around it, in scene units.
    """

    mesh: Mesh
    radius: float

    @cached_property
    def _scene(self) -> Any:
        open3d = import_open3d()
        scene = open3d.t.geometry.RaycastingScene()
        vertices, faces = self.mesh.vertices.float().contiguous(), self.mesh.faces.numpy().astype(np.uint32)
        scene.add_triangles(open3d.core.Tensor(vertices.numpy()), open3d.core.Tensor(faces))
        return scene

    def sdf(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N"]:
        """Distance to the nearest triangle; inside is where most of three rays say so, but never outside the box."""
        asked = import_open3d().core.Tensor(points.float().contiguous().numpy())
        signed = torch.from_numpy(self._scene.compute_signed_distance(asked, nsamples=3).numpy())
        return torch.maximum(signed, beyond_box(points, self.mesh))

    def color(self, points: Float[Tensor, "N 3"], directions: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Grey: only the shape is known."""
        return torch.full_like(points, 0.5)


def seen_solid(mesh: Mesh, cameras: Cameras, resolution: int = 128) -> GridSurface:
    """All that none of the cameras has seen to be empty: the most that true depth from there can give.

    It lies within all true silhouettes and the object's bounding box, and nowhere in front of the true depth. What no
    camera sees is filled; without the box, cameras that look down would leave a cone without end below the object.

    Args:
        mesh: the truth.
        cameras: where depth is known from, at any size.
        resolution: points along each side of the grid.
    """
    sized, radius = cameras.resized(_DEPTH_SIZE, _DEPTH_SIZE), radius_of(mesh)
    axis = torch.linspace(-radius, radius, resolution)
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
    farthest = _DEPTH_CELLS * 2 * radius / (resolution - 1)
    outside = beyond_box(points, mesh)
    for view, depth in enumerate(depth_maps(mesh, sized)):
        camera, hit = sized[view], depth.isfinite()
        outside = torch.maximum(outside, -within_silhouette(points, hit.float(), camera))
        pixels, distance = camera.project(points)
        column, row = pixels[..., 0, :].floor().long().clamp(0, _DEPTH_SIZE - 1).unbind(-1)
        in_front = torch.where(hit[row, column], depth[row, column] - distance[..., 0], -torch.inf)
        outside = torch.maximum(outside, in_front.clamp(max=farthest))
    return GridSurface(outside, torch.full((3, 2, 2, 2), 0.5), radius)


def beyond_box(points: Float[Tensor, "*N 3"], mesh: Mesh) -> Float[Tensor, "*N"]:
    """How far points lie outside the mesh's bounding box, at least; negative inside, in scene units."""
    low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
    return torch.maximum(low - points, points - high).amax(dim=-1)


def radius_of(mesh: Mesh) -> float:
    """Half side of a cube around the origin that holds the mesh with some space around it, in scene units."""
    return _MARGIN * float(mesh.vertices.abs().max())
