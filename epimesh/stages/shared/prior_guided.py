"""What the small generators share: parts, settings and requests of stages that start from a coarse guess."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import RING, Cameras
from epimesh.diffusion.attention_control.controller import Layers
from epimesh.diffusion.attention_control.mutual import MutualSelfAttention
from epimesh.diffusion.autoencoder import Autoencoder, load_autoencoder
from epimesh.diffusion.photo_latents import photo_latents
from epimesh.diffusion.sampler import Ddim
from epimesh.diffusion.schedules import NoiseSchedule, Prediction, uniform_timesteps
from epimesh.errors import BadInput, StageMismatch
from epimesh.photo import Photo
from epimesh.pipeline.contracts import ViewGenerator
from epimesh.runtime import Runtime
from epimesh.stages.shared.zero_to_hero import ZeroToHero
from epimesh.views import LatentViews

if TYPE_CHECKING:
    from epimesh.stages.coarse_prior.network import RingRegressor
    from epimesh.stages.shared.latent_conditioner import ViewCondition

TIMES = 1000
NUMBERS = range(RING)
"""Numbers of the views."""
HERO = ZeroToHero(mutual=MutualSelfAttention(layers=Layers(inside=("up_blocks",), resolutions=(8, 4))))
"""Nothing in use. Views would read from the photo in the decoder's two finest resolutions with attention, as usual."""


@runtime_checkable
class SmallNetwork(Protocol):
    """What requests have to fit."""

    @property
    def largest_time(self) -> int:
        """Sampling has to start below this time."""
        ...

    @property
    def latent_channels(self) -> int:
        """Of the views."""
        ...

    @property
    def latent_size(self) -> int:
        """Side of the views' latents."""
        ...


@dataclass(frozen=True, kw_only=True)
class PriorGuidedGenerator(ViewGenerator):
    """Base of generators that denoise the 16 ring views, told the photo, the poses and a coarse guess of the views.

    Args:
        weights: folder or `bundled:NAME`.
        prior: weights of the coarse prior whose guess is given; null gives none (for models trained without).
        autoencoder: weights of the autoencoder whose latents are made.
        steps: denoising steps; 4 are enough from a guess, 20 from pure noise.
        start: 1000 begins from pure noise; less begins from the coarse guess, noised to this time. Lower stays closer.
        guidance: classifier-free guidance; 1 is none and half the work.
        eta: 0 is deterministic DDIM, 1 the ancestral sampler.
        batch: how many views to denoise at once; lower it to save memory.
        hero: Zero-to-Hero, of which `use` says what is on. The photo is the coarse guess of its own view.

    Source:
        Starting from a guess: Meng et al., "SDEdit" (arXiv:2108.01073).
    """

    weights: str
    prior: str | None = "bundled:coarse-prior"
    autoencoder: str = "bundled:patch-vae"
    steps: int = 4
    start: int = 300
    guidance: float = 1.0
    eta: float = 0.0
    batch: int = 16
    hero: ZeroToHero = HERO
    latent_space = "patch"
    weights_settings: ClassVar[tuple[str, ...]] = ("weights", "prior", "autoencoder")

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1:
            raise BadInput(f"steps is {self.steps} and batch {self.batch}; both have to be at least 1.")
        if not 0 <= self.start <= TIMES:
            raise BadInput(f"start is {self.start}, expected 0 (the coarse guess itself) to {TIMES} (pure noise).")
        if self.start < TIMES and self.prior is None:
            raise BadInput(f"start is {self.start}, but without a prior there is no guess to start from: use {TIMES}.")
        _ = self._timesteps  # refuses parts of Zero-to-Hero that would never be at work

    @cached_property
    def _regressor(self) -> "RingRegressor | None":
        from epimesh.stages.coarse_prior.network import load_ring_regressor  # diffusers takes seconds to import

        return None if self.prior is None else load_ring_regressor(self.prior)

    @cached_property
    def _autoencoder(self) -> Autoencoder:
        return load_autoencoder(self.autoencoder)

    def request(self, photo: Photo, network: SmallNetwork, runtime: Runtime) -> "ViewCondition":
        """What is asked for, all views of the ring.

        Raises:
            StageMismatch: the weights and the autoencoder are of different latents.
            BadInput: the weights were not trained for as much noise as `start` means.
        """
        from epimesh.stages.shared.latent_conditioner import ViewCondition

        autoencoder = self._autoencoder.to(runtime.device, torch.float32)
        if autoencoder.latent_channels != network.latent_channels:
            raise StageMismatch(
                f"{self.weights} makes latents of {network.latent_channels} channels, but {self.autoencoder} has "
                f"{autoencoder.latent_channels}.\nSet --views.weights and --views.autoencoder to a pair made together."
            )
        self._check_noise(network)
        latents = photo_latents(photo, autoencoder, network.latent_size)
        cameras = Cameras.ring(size=8)
        prior = torch.zeros_like(latents).expand(len(cameras), -1, -1, -1)
        if self._regressor is not None:
            elevation = torch.tensor([photo.elevation_deg], device=latents.device)
            prior = self._regressor.to(runtime.device)(latents, elevation)[0]
        repeated = latents.expand(len(cameras), -1, -1, -1)
        return ViewCondition(repeated, pose(photo.camera, cameras).to(latents), prior).to(runtime.device, runtime.dtype)

    def photo_request(self, request: "ViewCondition", photo: Photo) -> "ViewCondition":
        """What is asked for where the photo's own view is made: no turn, and the photo is the guess of itself."""
        from epimesh.stages.shared.latent_conditioner import ViewCondition

        own = request.photo[:1]
        same = pose(photo.camera, photo.camera).to(own)
        return ViewCondition(own, same, torch.zeros_like(own) if self.prior is None else own)

    def _check_noise(self, network: SmallNetwork) -> None:
        first = max(self._timesteps, default=0)
        if first >= network.largest_time:
            raise BadInput(
                f"start is {self.start}, but {self.weights} was trained for noise up to {network.largest_time}: "
                f"the first step would be at time {first}.\n"
                f"Use --views.start {network.largest_time} or less: it begins from the coarse guess. More noise needs "
                "weights trained for it."
            )

    @property
    def _timesteps(self) -> list[int]:
        return self.hero.timesteps(self.steps, self.start, uniform_timesteps(self.steps, self.start))

    def sampler(self, schedule: NoiseSchedule, prediction: Prediction) -> Ddim:
        """Denoises from `start` in `steps`."""
        return Ddim(
            schedule=schedule,
            timesteps=self._timesteps,
            prediction=prediction,
            eta=self.eta,
            resampling=self.hero.repeated,
        )

    def made(self, latents: Float[Tensor, "V C h w"], photo: Photo, numbers: Sequence[int] = NUMBERS) -> LatentViews:
        """The views of the ring that latents show: those of these numbers, by default all."""
        size = latents.shape[-1] * self._autoencoder.factor
        cameras = Cameras.ring(size=size)[list(numbers)]
        return LatentViews(latents.float().cpu().clone(), cameras, photo, self.latent_space)


def pose(photo: Cameras, targets: Cameras) -> Float[Tensor, "V 6"]:
    """What the small denoiser is told of the cameras: `Cameras.view_delta` and both elevations, in radians."""
    _, elevation_deg = photo.azimuth_elevation_deg()
    _, target_deg = targets.azimuth_elevation_deg()
    elevations = torch.stack([elevation_deg.expand(len(targets)), target_deg], dim=1)
    return torch.cat([photo.view_delta(targets), torch.deg2rad(elevations)], dim=1)
