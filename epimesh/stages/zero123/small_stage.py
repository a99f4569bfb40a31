"""Zero-1-to-3 as a stage: every view by diffusion from the photo and the relative pose, started from a coarse guess."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from epimesh.diffusion.attention_control.controller import AttentionController
from epimesh.diffusion.guidance import guided
from epimesh.diffusion.sampler import Denoise
from epimesh.errors import BadInput
from epimesh.photo import Photo
from epimesh.runtime import Runtime
from epimesh.stages.shared.prior_guided import NUMBERS, TIMES, PriorGuidedGenerator
from epimesh.stages.shared.zero_to_hero import rows, sample_views
from epimesh.views import LatentViews

if TYPE_CHECKING:
    from epimesh.stages.shared.latent_conditioner import ViewCondition
    from epimesh.stages.zero123.small_network import LoadedDenoiser


@dataclass(frozen=True, kw_only=True)
class SmallZero123(PriorGuidedGenerator):
    """Each of the 16 ring views is denoised on its own, told the photo, the pose and a coarse guess.

    Args:
        weights: folder or `bundled:NAME` with unet, conditioner and scheduler.
        prior: weights of the coarse prior whose guess is given; null gives none (for models trained without).
        autoencoder: weights of the autoencoder whose latents are made.
        steps: denoising steps; 4 are enough from a guess, 20 from pure noise.
        start: 1000 begins from pure noise; less begins from the coarse guess, noised to this time. Lower stays closer.
        guidance: classifier-free guidance; 1 is none and half the work.
        eta: 0 is deterministic DDIM, 1 the ancestral sampler.
        batch: how many views to denoise at once; lower it to save memory.
        hero: Zero-to-Hero, of which `use` says what is on. The photo is the coarse guess of its own view.

    Source:
        Liu et al., "Zero-1-to-3" (arXiv:2303.11328). Starting from a guess: Meng et al., "SDEdit" (arXiv:2108.01073).
    """

    weights: str = "bundled:syncdreamer-small"

    @cached_property
    def _denoiser(self) -> "LoadedDenoiser":
        from epimesh.stages.zero123.small_network import load_view_denoiser  # diffusers takes seconds to import

        return load_view_denoiser(self.weights)

    def __call__(self, photo: Photo, *, runtime: Runtime) -> LatentViews:
        """Latents of the ring, 16 views at elevation 30."""
        return self.of_ring(photo, NUMBERS, runtime=runtime)

    @torch.inference_mode()
    def of_ring(self, photo: Photo, numbers: Sequence[int], *, runtime: Runtime) -> LatentViews:
        """Latents of some of the ring's views. No view depends on which others are asked for.

        Args:
            photo: of the object.
            numbers: of the views, from 0; the ring goes round counter-clockwise seen from above.
            runtime: where, and with which noise.

        Raises:
            BadInput: none is asked for, or the ring has no such view.
        """
        if not numbers or not set(numbers) <= set(NUMBERS):
            raise BadInput(
                f"Views {list(numbers)} were asked for; the ring has those of {NUMBERS.start} to {NUMBERS[-1]}."
            )
        network = self._denoiser.network.to(runtime.device, runtime.dtype)
        request = self.request(photo, network, runtime)
        own = self.photo_request(request, photo) if self.hero.needs_photo else request[:0]
        noise = torch.randn(request.photo.shape, generator=runtime.generator("zero123")).to(request.photo)
        parts = []
        for first in range(0, len(numbers), self.batch):
            some = list(numbers[first : first + self.batch])
            parts.append(self._sampled(some, request[some].joined(own), noise[some], runtime))
        return self.made(torch.cat(parts), photo, numbers)

    def _sampled(self, views: list[int], asked: "ViewCondition", noise: Tensor, runtime: Runtime) -> Tensor:
        """Some of the views; what is asked may end with the photo's own."""

        def predictor(controller: AttentionController, with_photo: bool) -> Denoise:
            told = asked if with_photo else asked[: len(views)]
            conditional, unconditional = (
                controller.with_rows(self._predictor(told, given), rows(views, with_photo, [branch]))
                for branch, given in (("conditional", True), ("unconditional", False))
            )
            return guided(conditional, unconditional, self.guidance)

        return sample_views(
            self.hero,
            self.sampler(self._denoiser.schedule, self._denoiser.prediction),
            self._denoiser.network.unet,
            predictor,
            noise,
            start=asked.prior if self.start < TIMES else None,
            random=[runtime.generator(f"zero123 fresh {view}") for view in views],
            photo_random=runtime.generator("zero123 photo's view"),
            track=lambda times: runtime.reporter.track(times, "imagining views", len(times)),
        )

    def _predictor(self, request: "ViewCondition", with_conditions: bool) -> Denoise:
        network = self._denoiser.network
        keep = torch.full((len(request.photo),), with_conditions, device=request.photo.device)

        def predict(x: Tensor, time: int) -> Tensor:
            times = torch.full((len(x),), time, device=x.device)
            return network(x, times, request, keep)

        return predict
