"""What the small generators share: parts, settings and requests of stages that start from a coarse guess."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.diffusion.autoencoder import Autoencoder, load_autoencoder
from epimesh.diffusion.sampler import Ddim
from epimesh.diffusion.schedules import NoiseSchedule, Prediction, uniform_timesteps
from epimesh.errors import BadInput, StageMismatch
from epimesh.photo import Photo
from epimesh.pipeline.contracts import ViewGenerator
from epimesh.runtime import Runtime
from epimesh.stages.photo_latents import photo_latents
from epimesh.views import LatentViews

if TYPE_CHECKING:
    from epimesh.stages.coarse_prior.network import RingRegressor
    from epimesh.stages.zero123.conditioner import Request

TIMES = 1000


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
class GuessingGenerator(ViewGenerator):
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
    latent_space = "patch"
    weights_settings: ClassVar[tuple[str, ...]] = ("weights", "prior", "autoencoder")

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1:
            raise BadInput(f"steps is {self.steps} and batch {self.batch}; both have to be at least 1.")
        if not 0 <= self.start <= TIMES:
            raise BadInput(f"start is {self.start}, expected 0 (the coarse guess itself) to {TIMES} (pure noise).")
        if self.start < TIMES and self.prior is None:
            raise BadInput(f"start is {self.start}, but without a prior there is no guess to start from: use {TIMES}.")

    @cached_property
    def _regressor(self) -> "RingRegressor | None":
        from epimesh.stages.coarse_prior.network import load_ring_regressor  # diffusers takes seconds to import

        return None if self.prior is None else load_ring_regressor(self.prior)

    @cached_property
    def _autoencoder(self) -> Autoencoder:
        return load_autoencoder(self.autoencoder)

    def request(self, photo: Photo, network: SmallNetwork, runtime: Runtime) -> "Request":
        """What is asked for, all views of the ring.

        Raises:
            StageMismatch: the weights and the autoencoder are of different latents.
            BadInput: the weights were not trained for as much noise as `start` means.
        """
        from epimesh.stages.zero123.conditioner import Request

        autoencoder = self._autoencoder.to(runtime.device, torch.float32)
        if autoencoder.latent_channels != network.latent_channels:
            raise StageMismatch(
                f"{self.weights} makes latents of {network.latent_channels} channels, but {self.autoencoder} has "
                f"{autoencoder.latent_channels}.\nSet --views.weights and --views.autoencoder to a pair made together."
            )
        if self.start > network.largest_time:
            raise BadInput(
                f"start is {self.start}, but {self.weights} was trained for noise up to {network.largest_time}.\n"
                f"Use --views.start {network.largest_time} or less: it begins from the coarse guess."
            )
        latents = photo_latents(photo, autoencoder, network.latent_size)
        cameras = Cameras.ring(size=8)
        prior = torch.zeros_like(latents).expand(len(cameras), -1, -1, -1)
        if self._regressor is not None:
            elevation = torch.tensor([photo.elevation_deg], device=latents.device)
            prior = self._regressor.to(runtime.device)(latents, elevation)[0]
        repeated = latents.expand(len(cameras), -1, -1, -1)
        return Request(repeated, pose(photo.camera, cameras).to(latents), prior).to(runtime.device, runtime.dtype)

    def sampler(self, schedule: NoiseSchedule, prediction: Prediction) -> Ddim:
        """Denoises from `start` in `steps`."""
        return Ddim(
            schedule=schedule,
            timesteps=uniform_timesteps(self.steps, self.start),
            prediction=prediction,
            eta=self.eta,
        )

    def made(self, latents: Float[Tensor, "V C h w"], photo: Photo) -> LatentViews:
        """The views of the ring that latents show."""
        size = latents.shape[-1] * self._autoencoder.factor
        views = latents.float().cpu().clone()
        return LatentViews(views, Cameras.ring(len(views), size=size), photo, self.latent_space)


def pose(photo: Cameras, targets: Cameras) -> Float[Tensor, "V 6"]:
    """What the small denoiser is told of the cameras: `Cameras.view_delta` and both elevations, in radians."""
    _, elevation_deg = photo.azimuth_elevation_deg()
    _, target_deg = targets.azimuth_elevation_deg()
    elevations = torch.stack([elevation_deg.expand(len(targets)), target_deg], dim=1)
    return torch.cat([photo.view_delta(targets), torch.deg2rad(elevations)], dim=1)
