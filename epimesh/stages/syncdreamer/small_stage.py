"""The small SyncDreamer as a stage: 16 views in one reverse process, started from a coarse guess."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.diffusion.guidance import DecomposedGuidance
from epimesh.errors import BadInput
from epimesh.photo import Photo
from epimesh.runtime import Runtime
from epimesh.stages.shared.prior_guided import TIMES, PriorGuidedGenerator
from epimesh.views import LatentViews

if TYPE_CHECKING:
    from epimesh.stages.shared.latent_conditioner import ViewCondition
    from epimesh.stages.syncdreamer.denoiser import Conditions
    from epimesh.stages.syncdreamer.small_guide import SmallSyncDreamerGuide
    from epimesh.stages.syncdreamer.small_network import LoadedJoint


@dataclass(frozen=True, kw_only=True)
class SmallSyncDreamer(PriorGuidedGenerator):
    """All views of the ring are denoised together, tied by a volume; each is told a coarse guess of itself.

    Args:
        weights: folder with unet, volume, conditioner and scheduler.
        prior: weights of the coarse prior whose guess is given; null gives none (for models trained without).
        autoencoder: weights of the autoencoder whose latents are made.
        samples: how often the views are imagined, every second time from the mirrored photo; their mean is taken.
            From small weights single samples err by chance, and by which way an object is turned.
        steps: denoising steps; 5 are enough from a guess, 20 from pure noise.
        start: 1000 begins from pure noise; less begins from the coarse guess, noised to this time. Lower stays closer.
        guidance: how far to go from the prediction without any condition; 1 is none and half the work.
        photo_guidance: how far to go from the prediction without photo, pose and guess (HarmonyView: 2).
        volume_guidance: how far to go from the prediction without the other views (HarmonyView: 1).
        eta: 0 is deterministic DDIM, 1 the ancestral sampler.
        batch: how many views run at once through the layers of the finest resolution; coarser ones take more. Fewer
            need less memory; the result is the same.
        hero: Zero-to-Hero, of which `use` says what is on. The photo is the coarse guess of its own view, which sees no
            volume. Filtering and reading from the photo need all views at once.

    Source:
        Liu et al., "SyncDreamer" (arXiv:2309.03453). Guidance in two directions: Woo et al., "HarmonyView"
        (arXiv:2312.15980).
    """

    weights: str = "bundled:syncdreamer-small"
    steps: int = 5
    start: int = 500
    samples: int = 2
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples < 1:
            raise BadInput(f"samples is {self.samples}; at least 1 has to be imagined.")

    @torch.inference_mode()
    def __call__(self, photo: Photo, *, runtime: Runtime) -> LatentViews:
        """Latents of the ring, 16 views at elevation 30."""
        first = self._imagined(photo, runtime)
        others = [self._sample(number, photo, runtime) for number in range(1, self.samples)]
        return self.made(torch.stack([first, *others]).mean(dim=0), photo)

    def guide(self, runtime: Runtime) -> "SmallSyncDreamerGuide":
        """The network as a guide of score distillation and inversion, for all views of the ring at once."""
        from epimesh.stages.syncdreamer.small_guide import SmallSyncDreamerGuide

        network = self._denoiser.network.to(runtime.device, runtime.dtype)
        network.joint.unet.batch = self.batch
        return SmallSyncDreamerGuide(
            autoencoder=self._autoencoder.to(runtime.device, torch.float32),
            schedule=self._denoiser.schedule,
            prediction=self._denoiser.prediction,
            latent_size=network.latent_size,
            runtime=runtime,
            stage=self,
            network=network,
        )

    def _sample(self, number: int, photo: Photo, runtime: Runtime) -> Float[Tensor, "16 C h w"]:
        """Of the photo, or, mirrored back, of its mirror image."""
        given = runtime.apart(f"syncdreamer sample {number}")
        if number % 2 == 0:
            return self._imagined(photo, given)
        ring = self._imagined(replace(photo, rgba=photo.rgba.flip(-1)), given)
        # In a mirrored world azimuths run the other way round.
        return self._autoencoder.mirrored(ring.float()).to(ring).roll(-1, 0).flip(0)

    def _imagined(self, photo: Photo, runtime: Runtime) -> Float[Tensor, "16 C h w"]:
        from epimesh.stages.syncdreamer.sampling import JointSampling, views_with_attention

        network = self._denoiser.network.to(runtime.device, runtime.dtype)
        network.joint.unet.batch = views_with_attention(self.hero, self.batch, network.joint.views)
        request = self.request(photo, network, runtime)
        own = self.photo_request(request, photo) if self.hero.needs_photo else request[:0]
        sampling = JointSampling(
            denoiser=network.joint,
            conditions=network.conditions(request, torch.tensor([photo.elevation_deg], device=runtime.device)),
            photo=self._photo_conditions(own) if self.hero.needs_photo else None,
            guidance=self.directions,
            hero=self.hero,
            sampler=self.sampler(self._denoiser.schedule, self._denoiser.prediction),
        )
        start = request.joined(own).prior if self.start < TIMES else None
        return sampling(runtime, runtime.dtype, start)

    def _photo_conditions(self, own: "ViewCondition") -> "Conditions":
        """What is known of the photo's own view."""
        from epimesh.stages.syncdreamer.denoiser import Conditions
        from epimesh.stages.syncdreamer.sampling import same_view

        told = self._denoiser.network.conditioner(own)
        view = same_view(told.tokens.new_zeros(1, 1, 4))
        return Conditions(told.channels[None], told.tokens[None], view, told.vector[None])
