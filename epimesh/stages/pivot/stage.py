"""Views that another generator made, inverted to some noise and sampled again: DDIM inversion where it helps."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from epimesh.diffusion.inversion import inverted, resampled
from epimesh.diffusion.schedules import uniform_timesteps
from epimesh.diffusion.score_guide import as_noise, guide_of
from epimesh.errors import BadInput
from epimesh.photo import Photo
from epimesh.pipeline.contracts import ViewGenerator
from epimesh.runtime import Runtime
from epimesh.views import LatentViews

TIMES = 1000


@dataclass(frozen=True, kw_only=True)
class PivotViews(ViewGenerator):
    """Refines views: each is inverted without guidance to some noise, and sampled again with the photo and guidance.

    Unlike fresh noise, the noise of the inversion holds the texture of the view, so guidance 1 gives the view back.

    Args:
        views: makes the views.
        guide: a generator that can tell how probable they are; of the same latents.
        until: the noise to invert to, of 1000. More lets more of the view change.
        steps: on the way there, and back.
        guidance: of the way back.

    Source:
        Mokady et al., "Null-text Inversion" (2023), the pivot; Meng et al., "SDEdit" (arXiv:2108.01073).
    """

    views: ViewGenerator
    guide: ViewGenerator
    until: int = 400
    steps: int = 10
    guidance: float = 1.5
    weights_settings: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.until <= TIMES or self.steps < 1:
            raise BadInput(
                f"until is {self.until} and steps {self.steps}; expected a noise of 1 to {TIMES} and at least one step."
            )
        if not 0 <= self.guidance < float("inf"):
            raise BadInput(f"guidance is {self.guidance}, expected 0 or more; 1 gives the views back.")

    @property
    def latent_space(self) -> str:  # type: ignore[override]
        """That of the views."""
        return self.views.latent_space

    @torch.inference_mode()
    def __call__(self, photo: Photo, *, runtime: Runtime) -> LatentViews:
        """The other generator's views, refined.

        Raises:
            StageMismatch: the guide works on other latents.
            BadInput: it cannot guide, or knows no such views.
        """
        made = self.views(photo, runtime=runtime)
        runtime.done_with(self.views)
        guide = guide_of(self.guide, runtime, made.latent_space)
        times = uniform_timesteps(self.steps, self.until)
        plain, strong = (
            as_noise(guide.denoiser(photo, made.cameras, scale), guide.schedule, guide.prediction)
            for scale in (1.0, self.guidance)
        )
        pivot = inverted(plain, made.latents.to(runtime.device), times, guide.schedule)
        latents = resampled(pivot, strong).float().cpu().clone()
        runtime.done_with(self.guide)
        return replace(made, latents=latents)
