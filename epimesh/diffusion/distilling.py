"""The loop of score distillation, whatever is painted: a surface's colours, latents, or the texels of a mesh."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.diffusion.score_distillation import ScoreGradient, surrogate
from epimesh.diffusion.score_guide import ScoreGuide
from epimesh.errors import BadInput
from epimesh.photo import Photo
from epimesh.runtime import Runtime

RING = 16
MORE_SATURATED = 0.05  # growth of the share of saturated values at which the fit stops
CHECK_EVERY = 5  # steps between looks at the saturation


class Easel(ABC):
    """What is painted, and how it looks."""

    @property
    @abstractmethod
    def parameters(self) -> list[Tensor]:
        """What is learned."""

    @abstractmethod
    def latents(self, numbers: Sequence[int]) -> Float[Tensor, "V C h w"]:
        """Of some views of the ring, differentiable."""

    @abstractmethod
    def photo_error(self) -> Float[Tensor, ""]:
        """Sum of squared errors in the photo's own view, differentiable."""

    @abstractmethod
    def saturation(self) -> float:
        """Share of the colours' values that are black or white to the last."""

    @abstractmethod
    def clamp(self) -> None:
        """Brings what is painted back into its range."""


@dataclass(frozen=True, kw_only=True)
class Distilling:
    """How it is painted: see the stages that do.

    Raises:
        BadInput: it cannot work so.
    """

    steps: int
    guidance: float
    rate: float
    photo_weight: float
    views_at_once: int
    earliest: float
    latest: float

    def __post_init__(self) -> None:
        if self.steps < 1 or self.rate <= 0 or self.photo_weight < 0:
            raise BadInput(
                f"steps is {self.steps}, rate {self.rate} and photo_weight {self.photo_weight}.\n"
                "Expected at least one step, a positive rate, and no negative weight."
            )
        if self.views_at_once not in (1, 2, 4, 8, RING):
            raise BadInput(
                f"views_at_once is {self.views_at_once}, expected 1, 2, 4, 8 or {RING}: equal parts of them."
            )
        if not 0 <= self.guidance < float("inf"):
            raise BadInput(f"guidance is {self.guidance}, expected 0 or more; 1 is the conditional prediction.")


def distil(easel: Easel, guide: ScoreGuide, photo: Photo, how: Distilling, runtime: Runtime) -> None:
    """Paints, until all steps are done or too many colours are saturated; then it goes back to before."""
    gradient = ScoreGradient(
        schedule=guide.schedule, prediction=guide.prediction, earliest=how.earliest, latest=how.latest
    )
    cameras = Cameras.ring(RING, size=guide.image_size)
    apart = 1 if guide.joint else RING // how.views_at_once
    groups = [list(range(first, RING, apart)) for first in range(apart)]
    denoisers = [guide.denoiser(photo, cameras[numbers], how.guidance) for numbers in groups]
    optimizer = torch.optim.Adam(easel.parameters, lr=how.rate)
    generator, watch = runtime.generator("score distillation"), Watch(easel)
    for step in runtime.reporter.track(range(how.steps), "distilling", how.steps):
        latents = easel.latents(groups[step % apart])
        wrong = gradient.at_random(denoisers[step % apart], latents.detach(), generator)
        loss = surrogate(latents, wrong) + how.photo_weight * easel.photo_error()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        easel.clamp()
        if (step + 1) % CHECK_EVERY == 0 and watch.went_too_far():
            runtime.reporter.note(f"Score distillation stopped after {step + 1} of {how.steps} steps: {watch}.")
            return


class Watch:
    """Looks at the saturation now and then, and goes back to where it was still well.

    Args:
        easel: what is painted.
    """

    def __init__(self, easel: Easel) -> None:
        self._easel = easel
        self._before = self._now = easel.saturation()
        self._kept = self._copies()

    def went_too_far(self) -> bool:
        """Whether saturation grew too much; then everything is as at the look before."""
        self._now = self._easel.saturation()
        if self._now <= self._before + MORE_SATURATED:
            self._kept = self._copies()
            return False
        with torch.no_grad():
            for part, kept in zip(self._easel.parameters, self._kept, strict=True):
                part.copy_(kept)
        return True

    def __str__(self) -> str:
        return f"{self._now:.0%} of the colours were saturated, {self._before:.0%} before"

    def _copies(self) -> list[Tensor]:
        return [part.detach().clone() for part in self._easel.parameters]
