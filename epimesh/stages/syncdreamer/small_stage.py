"""The small SyncDreamer as a stage: 16 views in one reverse process, started from a coarse guess."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from epimesh.diffusion.guidance import DecomposedGuidance
from epimesh.photo import Photo
from epimesh.runtime import Runtime
from epimesh.stages.zero123.guessing import TIMES, GuessingGenerator
from epimesh.views import LatentViews

if TYPE_CHECKING:
    from epimesh.stages.syncdreamer.small_network import LoadedJoint


@dataclass(frozen=True, kw_only=True)
class SmallSyncDreamer(GuessingGenerator):
    """All views of the ring are denoised together, tied by a volume; each is told a coarse guess of itself.

    Args:
        weights: folder with unet, volume, conditioner and scheduler.
        prior: weights of the coarse prior whose guess is given; null gives none (for models trained without).
        autoencoder: weights of the autoencoder whose latents are made.
        steps: denoising steps; 4 are enough from a guess, 20 from pure noise.
        start: 1000 begins from pure noise; less begins from the coarse guess, noised to this time. Lower stays closer.
        guidance: how far to go from the prediction without any condition; 1 is none and half the work.
        photo_guidance: how far to go from the prediction without photo, pose and guess (HarmonyView: 2).
        volume_guidance: how far to go from the prediction without the other views (HarmonyView: 1).
        eta: 0 is deterministic DDIM, 1 the ancestral sampler.
        batch: how many views run at once through the layers of the finest resolution; coarser ones take more. Fewer
            need less memory; the result is the same.

    Source:
        Liu et al., "SyncDreamer" (arXiv:2309.03453). Guidance in two directions: Woo et al., "HarmonyView"
        (arXiv:2312.15980).
    """

    weights: str = "checkpoints/syncdreamer-small"
    photo_guidance: float = 0.0
    volume_guidance: float = 0.0

    @cached_property
    def _denoiser(self) -> "LoadedJoint":
        from epimesh.stages.syncdreamer.small_network import load_small_joint  # diffusers takes seconds to import

        return load_small_joint(self.weights)

    @property
    def directions(self) -> DecomposedGuidance:
        """The guidance that the settings describe."""
        from epimesh.stages.syncdreamer.denoiser import decomposed

        return decomposed(self.guidance - 1, self.photo_guidance, self.volume_guidance)

    @torch.inference_mode()
    def __call__(self, photo: Photo, *, runtime: Runtime) -> LatentViews:
        """Latents of the ring, 16 views at elevation 30."""
        network = self._denoiser.network.to(runtime.device, runtime.dtype)
        network.joint.unet.batch = self.batch
        request = self.request(photo, network, runtime)
        elevation = torch.tensor([photo.elevation_deg], device=runtime.device)
        conditions = network.conditions(request, elevation)

        def predict(x: Tensor, time: int) -> Tensor:
            return network.joint(x, torch.tensor([time], device=x.device), conditions, self.directions)

        generator = runtime.generator("syncdreamer")
        noise = torch.randn((1, *request.prior.shape), generator=generator)
        latents = self.sampler(self._denoiser.schedule, self._denoiser.prediction)(
            predict,
            noise.to(request.prior),
            start=request.prior[None] if self.start < TIMES else None,
            generator=generator,
            track=lambda times: runtime.reporter.track(times, "imagining views", len(times)),
        )
        return self.made(latents[0], photo)
