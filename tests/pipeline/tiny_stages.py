"""The smallest honest stages: a disc photographed from the front becomes a ball. Used as plug-ins by class path."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from epimesh.cameras import FOV_DEG, Cameras
from epimesh.errors import BadInput
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.pipeline.contracts import (
    Mesher,
    PhotoReader,
    Reconstructor,
    SurfaceRefiner,
    Texturer,
    ViewDecoder,
    ViewGenerator,
)
from epimesh.runtime import Runtime
from epimesh.surface import GridSurface, Surface
from epimesh.views import LatentViews, Views

CALLS: list[str] = []

PRESET = """
read: {class_path: tiny_stages.ReadDisc}
views: {class_path: tiny_stages.SameFromEverywhere}
decode: {class_path: tiny_stages.PixelDecoder}
reconstruct: {class_path: tiny_stages.Ball}
mesh: {class_path: tiny_stages.Tetrahedron}
texture: {class_path: tiny_stages.OneColour}
"""
"""All of them, as a preset says it."""


@dataclass(frozen=True, kw_only=True)
class ReadDisc(PhotoReader):
    """Draws a disc, whatever the photo shows.

    Args:
        radius: of the disc, as a share of the image.
    """

    radius: float = 0.3

    def __call__(self, image: Path, *, runtime: Runtime) -> Photo:
        CALLS.append("read")
        axis = torch.linspace(-0.5, 0.5, 32)
        inside = (axis[:, None] ** 2 + axis[None] ** 2).sqrt() < self.radius
        return Photo(torch.cat([torch.full((3, 32, 32), 0.5), inside.float()[None]]), 0.0, FOV_DEG)


@dataclass(frozen=True, kw_only=True)
class SameFromEverywhere(ViewGenerator):
    """Repeats the photo, with a little noise.

    Args:
        noise: its strength.
    """

    noise: float = 0.01
    latent_space: ClassVar[str] = "pixels"

    def __call__(self, photo: Photo, *, runtime: Runtime) -> LatentViews:
        CALLS.append("views")
        noise = torch.randn(4, 4, 32, 32, generator=runtime.generator("views"))
        latents = photo.rgba.expand(4, 4, 32, 32) + self.noise * noise
        return LatentViews(latents, Cameras.ring(4, size=32), photo, "pixels")


@dataclass(frozen=True, kw_only=True)
class PixelDecoder(ViewDecoder):
    """The latents are the pixels.

    Args:
        gain: brightness factor.
    """

    gain: float = 1.0
    latent_space: ClassVar[str] = "pixels"

    def __call__(self, latents: LatentViews, *, runtime: Runtime) -> Views:
        CALLS.append("decode")
        pixels = latents.latents.clamp(0, 1)
        return Views(rgb=pixels[:, :3] * self.gain, alpha=pixels[:, 3:].round(), cameras=latents.cameras)


@dataclass(frozen=True, kw_only=True)
class OtherDecoder(PixelDecoder):
    """A decoder of another latent space."""

    latent_space: ClassVar[str] = "other"


@dataclass(frozen=True, kw_only=True)
class Ball(Reconstructor):
    """A ball as large as the silhouette."""

    def __call__(self, views: Views, photo: Photo | None, *, runtime: Runtime) -> Surface:
        CALLS.append("reconstruct")
        radius = float((views.alpha.mean() / torch.pi).sqrt())
        axis = torch.linspace(-1, 1, 24)
        grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
        return GridSurface(grid.norm(dim=-1) - radius, torch.full((3, 2, 2, 2), float(views.rgb.mean())), 1.0)


@dataclass(frozen=True, kw_only=True)
class Picky(SurfaceRefiner):
    """Leaves the surface as it is, if it is asked to with a strength that can be.

    Args:
        strength: at least 0.
    """

    strength: float = 0.0

    def __post_init__(self) -> None:
        if self.strength < 0:
            raise BadInput(f"strength is {self.strength}; it has to be at least 0.")

    def __call__(self, surface: Surface, views: Views, photo: Photo | None, *, runtime: Runtime) -> Surface:
        return surface


@dataclass(frozen=True, kw_only=True)
class Tetrahedron(Mesher):
    """Four triangles around the centre."""

    def __call__(self, surface: Surface, *, runtime: Runtime) -> Mesh:
        CALLS.append("mesh")
        vertices = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 0.25
        return Mesh(vertices, torch.tensor([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]]))


@dataclass(frozen=True, kw_only=True)
class OneColour(Texturer):
    """Paints everything in the mean colour of the views."""

    def __call__(self, mesh: Mesh, views: Views, photo: Photo | None, *, runtime: Runtime) -> Mesh:
        CALLS.append("texture")
        uv = torch.tensor([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.9]])
        texture = torch.ones(3, 8, 8) * views.rgb.mean(dim=(0, 2, 3))[:, None, None]
        return Mesh(mesh.vertices, mesh.faces, uv, texture, unseen_share=0.25)
