"""Score distillation as a stage: a generator repaints a surface that was fitted before."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from epimesh.diffusion.distilling import Distilling, distil
from epimesh.diffusion.score_guide import ScoreGuide, guide_of
from epimesh.errors import BadInput
from epimesh.photo import Photo
from epimesh.pipeline.contracts import SurfaceRefiner, ViewGenerator
from epimesh.reconstruction.easel import ColorEasel, LatentEasel
from epimesh.reconstruction.frozen_rays import as_grid
from epimesh.runtime import Runtime
from epimesh.surface import GridSurface, Surface
from epimesh.views import Views


@dataclass(frozen=True, kw_only=True)
class ScoreDistillation(SurfaceRefiner):
    """Pulls the colours of a surface to what a generator finds probable in views of the ring, and to the photo.

    It starts from a surface that was fitted, never from nothing. It stops when the share of saturated colours has grown
    by five points, and goes back to before. It is in no preset: docs/neural-extrapolation.md says what was measured.

    Args:
        guide: a generator that can tell how probable views are: SmallZero123, SmallSyncDreamer or Zero123.
        steps: how often the guide is asked.
        guidance: classifier-free; generators that see a photo need little, those of text about 100.
        space: rgb goes through the autoencoder's encoder; latent paints a grid of latents, which is decoded at the end.
        rate: of Adam, for colours from 0 to 1.
        photo_weight: of the squared error in the photo's own view, next to 1 of the guide.
        views_at_once: how many views are looked at in a step; a joint guide sees all.
        earliest: least noise that is tried, as a share of all times.
        latest: the most. A surface that is roughly right should not be told of more noise than hides its errors.
        distances: let the shape move, too. Geometry and appearance together tend to collapse.

    Source:
        Poole et al., "DreamFusion" (arXiv:2209.14988); Jambon, ETH Zurich (2023).
    """

    guide: ViewGenerator
    steps: int = 40
    guidance: float = 1.0
    space: Literal["rgb", "latent"] = "rgb"
    rate: float = 0.005
    photo_weight: float = 10.0
    views_at_once: int = 4
    earliest: float = 0.02
    latest: float = 0.5
    distances: bool = False
    weights_settings: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        _ = self._settings  # refuses what cannot be
        if self.distances and self.space == "latent":
            raise BadInput(
                "distances is on and space is latent: a surface that moves has nothing to learn from latents.\n"
                "Use --refine.space rgb, or leave distances out."
            )

    def __call__(self, surface: Surface, views: Views, photo: Photo | None, *, runtime: Runtime) -> GridSurface:
        """The surface with other colours.

        Raises:
            BadInput: there is no photo, the guide cannot guide, or the surface keeps no colours.
        """
        if photo is None:
            raise BadInput(
                "ScoreDistillation asks a generator that needs the photo, but only posed views were given.\n"
                "Leave `refine` out for captures."
            )
        grid, guide = as_grid(surface, "ScoreDistillation"), guide_of(self.guide, runtime)
        easel = self._easel(grid, guide, photo)
        distil(easel, guide, photo, self._settings, runtime)
        runtime.done_with(self.guide)
        return easel.finished()

    def _easel(self, surface: GridSurface, guide: ScoreGuide, photo: Photo) -> ColorEasel | LatentEasel:
        if self.space == "latent":
            return LatentEasel(surface, guide, photo)
        return ColorEasel(surface, guide, photo, self.distances)

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
