"""What a cascade's refiner is told while it learns: views of the photo that its own base imagines."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from diffusers import UNet2DConditionModel
from jaxtyping import Bool, Float
from torch import Tensor

from epimesh.diffusion.guidance import Branch, DecomposedGuidance, Term
from epimesh.diffusion.sampler import Ddim, Denoise
from epimesh.diffusion.schedules import NoiseSchedule
from epimesh.errors import BadInput
from epimesh.stages.cascade.stage import HIGHEST_DEG, MARKER, SAME_VIEW, CoarsePose, Nearby
from epimesh.stages.zero123.network import GROUPS, PhotoAndPose, predictions, published_timesteps
from epimesh.training.data.view_pairs import ViewPairs
from epimesh.training.zero123.frozen_parts import Zero123Network


@dataclass(frozen=True)
class SelfPrompts:
    """Which prompts there are, and how the base makes them.

    Args:
        nearby: turns from the photo's camera.
        coarse_target: the base's attempt at the target comes first.
        coarse_pose: what its token says of its pose.
        steps: of the base's sampler, deterministic DDIM; has to divide 1000.
        guidance: of the base; 1 is none and half the work.
        batch: how many views the base denoises at once.

    Raises:
        BadInput: a setting makes no sense.

    Source:
        Chen et al., "Cascade-Zero123" (arXiv:2312.04424), and its published training code.
    """

    nearby: tuple[Nearby, ...] = (Nearby(45.0), Nearby(-45.0), Nearby(0.0, 30.0))
    coarse_target: bool = True
    coarse_pose: CoarsePose = "zeros"
    steps: int = 25
    guidance: float = 3.0
    batch: int = 64

    def __post_init__(self) -> None:
        published_timesteps(self.steps, skip_noisiest=False)  # refuses what cannot be
        if self.batch < 1:
            raise BadInput(f"base_batch is {self.batch}; the base has to denoise at least 1 view at once.")

    def __len__(self) -> int:
        return len(self.nearby) + self.coarse_target

    def asked(self, batch: ViewPairs) -> Float[Tensor, "B P 4"]:
        """The poses that the base is asked for: from the photo to the coarse target, and to the nearby cameras."""
        places = [(batch.azimuth_deg, batch.target_elevation_deg)] if self.coarse_target else []
        places += self._nearby(batch)
        start = torch.zeros_like(batch.azimuth_deg), batch.photo_elevation_deg
        return torch.stack([turn(start, place) for place in places], dim=1)

    def told(self, batch: ViewPairs) -> Float[Tensor, "B T 4"]:
        """The poses that the refiner is told: to the target from photo, coarse target and nearby cameras."""
        target = batch.azimuth_deg, batch.target_elevation_deg
        poses = [turn((torch.zeros_like(batch.azimuth_deg), batch.photo_elevation_deg), target)]
        if self.coarse_target:
            marker = torch.tensor(SAME_VIEW if self.coarse_pose == "identity" else MARKER)
            poses.append(marker.to(poses[0]).expand_as(poses[0]))
        return torch.stack([*poses, *(turn(place, target) for place in self._nearby(batch))], dim=1)

    def imagined(
        self,
        network: Zero123Network,
        photo: Float[Tensor, "B C h w"],
        embedding: Float[Tensor, "B D"],
        poses: Float[Tensor, "B P 4"],
        noise: Float[Tensor, "B P C h w"],
        schedule: NoiseSchedule,
    ) -> Float[Tensor, "B P C h w"]:
        """Scaled latents of the views at these poses from the photo, each told of the photo alone.

        Args:
            network: the base.
            photo: the posterior's mode, not scaled.
            embedding: CLIP's, of the photo.
            poses: from the photo.
            noise: standard normal, to begin from.
            schedule: of the network.
        """
        prompts = poses.shape[1]
        tokens = network.token(embedding.repeat_interleave(prompts, dim=0), poses.flatten(0, 1))
        told = PhotoAndPose(photo.repeat_interleave(prompts, dim=0), tokens)
        sampler = Ddim(schedule=schedule, timesteps=published_timesteps(self.steps, skip_noisiest=False))
        parts = [slice(first, first + self.batch) for first in range(0, len(tokens), self.batch)]
        made = [sampler(self._denoiser(network.unet, told[some]), noise.flatten(0, 1)[some]) for some in parts]
        return torch.cat(made).unflatten(0, poses.shape[:2])

    def _denoiser(self, unet: UNet2DConditionModel, told: PhotoAndPose) -> Denoise:
        guidance = DecomposedGuidance((Term(Branch(frozenset(GROUPS)), self.guidance - 1),))

        def denoise(x: Tensor, time: int) -> Tensor:
            times = torch.full((len(x),), time, device=x.device)
            return guidance.combined(predictions(unet, x, times, told, guidance.branches))

        return denoise

    def _nearby(self, batch: ViewPairs) -> list[tuple[Tensor, Tensor]]:
        """Azimuths and elevations in degrees, not over the pole."""
        return [
            (
                torch.full_like(batch.azimuth_deg, one.azimuth_deg),
                (batch.photo_elevation_deg + one.elevation_deg).clamp(-HIGHEST_DEG, HIGHEST_DEG),
            )
            for one in self.nearby
        ]


class Kept(NamedTuple):
    """Of every photo, which conditions it keeps."""

    tokens: Bool[Tensor, "B"]
    channels: Bool[Tensor, "B"]


def kept_conditions(drawn: Float[Tensor, "B"], drop: float) -> Kept:
    """Which conditions are kept, from a number in 0 to 1 for every photo.

    Source:
        The published code of Zero-1-to-3, and of Cascade-Zero123: below 2 p no tokens, from p to 3 p no latents.
    """
    return Kept(drawn >= 2 * drop, (drawn < drop) | (drawn >= 3 * drop))


def turn(start: tuple[Tensor, Tensor], end: tuple[Tensor, Tensor]) -> Float[Tensor, "B 4"]:
    """`Cameras.view_delta` of many pairs of cameras on one sphere, by azimuth and elevation in degrees."""
    azimuth, elevation = (torch.deg2rad(to - of) for of, to in zip(start, end, strict=True))
    # Polar angles run downwards from +z, elevations upwards.
    return torch.stack([-elevation, azimuth.sin(), azimuth.cos(), torch.zeros_like(azimuth)], dim=-1)
