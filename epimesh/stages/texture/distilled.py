"""A texture whose unseen parts a generator finds more probable: score distillation of texels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.diffusion.distilling import RING, Distilling, Easel, distil
from epimesh.diffusion.score_distillation import saturated_share
from epimesh.diffusion.score_guide import ScoreGuide, guide_of
from epimesh.errors import BadInput
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.pipeline.contracts import Texturer, ViewGenerator
from epimesh.rendering.ray_casting import RayCaster
from epimesh.runtime import Runtime
from epimesh.views import Views

SUPERSAMPLE = 2  # rays per pixel along each side


@dataclass(frozen=True, kw_only=True)
class DistilledTexture(Texturer):
    """Textures by another stage, then pulls the texels to what a generator finds probable, and to the photo.

    The mesh is drawn once; its texels alone change. docs/neural-extrapolation.md says what was measured.

    Args:
        texturer: makes the texture to start from.
        guide: a generator that can tell how probable views are: SmallZero123, SmallSyncDreamer or Zero123.
        steps: how often the guide is asked.
        guidance: classifier-free; generators that see a photo need little.
        rate: of Adam, for colours from 0 to 1.
        photo_weight: of the squared error in the photo's own view, next to 1 of the guide.
        views_at_once: how many views are looked at in a step; a joint guide sees all.
        earliest: least noise that is tried, as a share of all times.
        latest: the most.

    Source:
        Poole et al., "DreamFusion" (arXiv:2209.14988); Jambon, ETH Zurich (2023).
    """

    texturer: Texturer
    guide: ViewGenerator
    steps: int = 40
    guidance: float = 1.0
    rate: float = 0.005
    photo_weight: float = 10.0
    views_at_once: int = 4
    earliest: float = 0.02
    latest: float = 0.5
    weights_settings: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        _ = self._settings  # refuses what cannot be

    def __call__(self, mesh: Mesh, views: Views, photo: Photo | None, *, runtime: Runtime) -> Mesh:
        """The textured mesh.

        Raises:
            BadInput: there is no photo, the guide cannot guide, or the texturer made no texture.
        """
        if photo is None:
            raise BadInput(
                "DistilledTexture asks a generator that needs the photo, but only posed views were given.\n"
                "Use --texture BakeTexture for captures."
            )
        textured = self.texturer(mesh, views, photo, runtime=runtime)
        guide = guide_of(self.guide, runtime)
        easel = TexelEasel(textured, guide, photo)
        distil(easel, guide, photo, self._settings, runtime)
        runtime.done_with(self.guide)
        return replace(textured, texture=easel.texture.detach())

    @property
    def _settings(self) -> Distilling:
        return Distilling(
            steps=self.steps,
            guidance=self.guidance,
            rate=self.rate,
            photo_weight=self.photo_weight,
            views_at_once=self.views_at_once,
            earliest=self.earliest,
            latest=self.latest,
        )


class TexelEasel(Easel):
    """The texels of a mesh, drawn through rays that were cast once.

    Raises:
        BadInput: the mesh has no texture.
    """

    def __init__(self, mesh: Mesh, guide: ScoreGuide, photo: Photo) -> None:
        if mesh.texture is None or mesh.uv is None:
            raise BadInput(
                "DistilledTexture was given a mesh without a texture to change.\n"
                "Expected a texturer that makes one, e.g. --texture.texturer BakeTexture."
            )
        self._guide = guide
        self.texture = mesh.texture.clone().requires_grad_()
        ring = Cameras.ring(RING, size=guide.image_size)
        caster = RayCaster(mesh.vertices, mesh.faces)
        self._seen = [Looked.at(mesh, mesh.uv, ring[number], caster) for number in range(RING)]
        self._own = Looked.at(mesh, mesh.uv, photo.camera.resized(guide.image_size, guide.image_size), caster)
        self._target = photo.resized(guide.image_size).on_white()

    @property
    def parameters(self) -> list[Tensor]:
        """The texels."""
        return [self.texture]

    def latents(self, numbers: Sequence[int]) -> Float[Tensor, "V C h w"]:
        """Encoded pictures of the mesh."""
        return self._guide.encode(torch.stack([self._seen[number].drawn(self.texture) for number in numbers]))

    def photo_error(self) -> Float[Tensor, ""]:
        """Where the photo and the mesh both are."""
        drawn = self._own.drawn(self.texture)
        return ((drawn[:3] - self._target) * drawn[3:]).square().sum()

    @torch.no_grad()
    def saturation(self) -> float:
        """Of the mesh in the views of the ring."""
        drawn = torch.stack([one.drawn(self.texture) for one in self._seen])
        return saturated_share(drawn[:, :3].movedim(1, -1)[drawn[:, 3] > 0.5])

    @torch.no_grad()
    def clamp(self) -> None:
        """Colours stay between 0 and 1."""
        self.texture.clamp_(0, 1)


@dataclass(frozen=True, eq=False)
class Looked:
    """Where the rays of one picture meet the texture.

    Args:
        uv: texture coordinates, in glTF's convention.
        coverage: 1 where a ray meets the mesh.
    """

    uv: Float[Tensor, "h w 2"]
    coverage: Float[Tensor, "1 h w"]

    @classmethod
    def at(cls, mesh: Mesh, uv: Float[Tensor, "N 2"], camera: Cameras, caster: RayCaster) -> "Looked":
        """From one camera, several rays per pixel."""
        finer = camera.resized(camera.height * SUPERSAMPLE, camera.width * SUPERSAMPLE)
        origins, directions = (part[0] for part in finer.rays())
        hits = caster.cast(origins, directions)
        face = hits.face.clamp_min(0).long()
        found = (uv[mesh.faces[face]] * hits.barycentric[..., None]).sum(-2)
        return cls(found, (hits.face >= 0).float()[None])

    def drawn(self, texture: Float[Tensor, "3 T1 T2"]) -> Float[Tensor, "4 H W"]:
        """The picture on white with its coverage, differentiable by the texels."""
        rgb = torch.nn.functional.grid_sample(
            texture[None], self.uv[None] * 2 - 1, padding_mode="border", align_corners=False
        )[0]
        on_white = rgb * self.coverage + 1 - self.coverage
        return torch.nn.functional.avg_pool2d(torch.cat([on_white, self.coverage]), SUPERSAMPLE)
