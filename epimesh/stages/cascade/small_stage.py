"""Cascade-Zero123 with small weights: ring views of a first generator prompt a second one."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.errors import BadInput, StageMismatch
from epimesh.photo import Photo
from epimesh.pipeline.contracts import ViewGenerator
from epimesh.runtime import Runtime
from epimesh.stages.shared.prior_guided import NUMBERS, SmallNetwork, pose
from epimesh.stages.zero123.small_stage import SmallZero123
from epimesh.views import LatentViews

if TYPE_CHECKING:
    from epimesh.stages.shared.latent_conditioner import Prompts, ViewCondition
    from epimesh.stages.zero123.small_network import LoadedDenoiser

NEARBY = (2, 14, 0)
"""45 degrees to either side of the photo, and on its own side at the ring's elevation."""


@dataclass(frozen=True, kw_only=True)
class SmallCascadeZero123(SmallZero123):
    """A refiner that is told of ring views which a base generator made of the same photo.

    Args:
        weights: of the refiner; made by `epimesh train cascade-small`.
        base: makes the prompts: any generator of the same 16 views in the same latents.
        nearby: numbers of the ring views that prompt, from 0 on the photo's side in steps of 22.5 degrees
            counter-clockwise. Further away they copy the base's mistakes.
        coarse_target: prompt with the base's attempt at each view, too.
        prior: weights of the coarse prior whose guess is given; null gives none (for models trained without).
        autoencoder: weights of the autoencoder whose latents are made.
        steps: denoising steps; 4 are enough from a guess, 20 from pure noise.
        start: 1000 begins from pure noise; less begins from the coarse guess, noised to this time. Lower stays closer.
        guidance: classifier-free guidance; 1 is none and half the work.
        eta: 0 is deterministic DDIM, 1 the ancestral sampler.
        batch: how many views to denoise at once; lower it to save memory.
        hero: Zero-to-Hero for the refiner, of which `use` says what is on; the base has its own.

    Source:
        Chen et al., "Cascade-Zero123: One Image to Highly Consistent 3D with Self-Prompted Nearby Views"
        (arXiv:2312.04424).
    """

    weights: str = field()  # no default: those of a single model know of no prompts
    base: ViewGenerator
    nearby: tuple[int, ...] = NEARBY
    coarse_target: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not set(self.nearby) <= set(NUMBERS):
            raise BadInput(f"nearby is {list(self.nearby)}; the ring has views {NUMBERS.start} to {NUMBERS[-1]}.")
        if self.base.latent_space != self.latent_space:
            raise StageMismatch(
                f"base ({type(self.base).__name__}) makes '{self.base.latent_space}' latents, but the refiner takes "
                f"'{self.latent_space}'.\nChoose a base with small weights, e.g. SmallZero123 or SmallSyncDreamer."
            )

    def release(self) -> None:
        """Drops the base's weights, too."""
        super().release()
        self.base.release()

    @cached_property
    def _denoiser(self) -> "LoadedDenoiser":
        from epimesh.stages.cascade.prompted_conditioner import PromptedConditioner
        from epimesh.stages.zero123.small_network import load_view_denoiser

        return load_view_denoiser(self.weights, PromptedConditioner)

    def request(self, photo: Photo, network: SmallNetwork, runtime: Runtime) -> "ViewCondition":
        """What is asked for, all views of the ring, and the prompts for each.

        Raises:
            StageMismatch: the base makes other views, or the weights and the autoencoder are of different latents.
            BadInput: the weights were not trained for as much noise as `start` means.
        """
        asked = super().request(photo, network, runtime)
        if not self.nearby and not self.coarse_target:
            return asked
        made = self.base(photo, runtime=runtime.apart("cascade base"))
        _check_ring(made, type(self.base).__name__)
        self._warn_of_other_prompts(runtime)
        ring = made.latents.to(asked.photo)
        return replace(asked, prompts=self._prompts(ring[list(self.nearby)], ring, made.cameras))

    def photo_request(self, request: "ViewCondition", photo: Photo) -> "ViewCondition":
        """What is asked for where the photo's own view is made; the photo is the attempt at itself."""
        own = super().photo_request(request, photo)
        if request.prompts is None:
            return own
        near = request.prompts.latents[0, : len(self.nearby)]
        return replace(own, prompts=self._prompts(near, own.photo, photo.camera))

    def _prompts(
        self, near: Float[Tensor, "K C h w"], attempts: Float[Tensor, "V C h w"], targets: Cameras
    ) -> "Prompts":
        """The nearby views for each of the targets, and last the attempt at it."""
        from epimesh.stages.shared.latent_conditioner import Prompts

        latents = near.expand(len(targets), -1, -1, -1, -1)
        if self.coarse_target:
            latents = torch.cat([latents, attempts[:, None]], dim=1)
        return Prompts(latents, prompt_poses(self.nearby, self.coarse_target, targets).to(near))

    def _warn_of_other_prompts(self, runtime: Runtime) -> None:
        trained, told = int(self._denoiser.network.conditioner.config.prompts), len(self.nearby) + self.coarse_target
        if told != trained:
            runtime.reporter.warn(
                f"The refiner is told of {told} other views, but {self.weights} was trained with {trained}."
            )


def prompt_poses(nearby: Sequence[int], coarse_target: bool, targets: Cameras) -> Float[Tensor, "V K 6"]:
    """From each nearby view to the targets; last, where there is an attempt at the target itself, the marker of it."""
    cameras = Cameras.ring(size=8)
    poses = [pose(cameras[number], targets) for number in nearby]
    marker = [torch.zeros(len(targets), 6)] if coarse_target else []
    return torch.stack([*poses, *marker], dim=1)


def _check_ring(made: LatentViews, base: str) -> None:
    """The base's views have to be those of the ring: their poses are told to the refiner."""
    wanted = Cameras.ring(size=8)
    if len(made.cameras) != len(wanted) or not torch.allclose(made.cameras.centres, wanted.centres, atol=1e-3):
        raise StageMismatch(
            f"base ({base}) made {len(made.cameras)} views that are not the refiner's.\n"
            f"Choose a base that makes the ring of {len(wanted)} views at elevation 30."
        )
