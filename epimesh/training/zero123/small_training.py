"""Trains the small view denoiser, with coarse priors from regressors that never saw the object."""

import math
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from epimesh.cameras import RING
from epimesh.data.packs.view_pack import AZIMUTH_STEP_DEG
from epimesh.diffusion.autoencoder import load_autoencoder
from epimesh.diffusion.schedules import NoiseSchedule
from epimesh.errors import BadInput
from epimesh.stages.coarse_prior.network import load_ring_regressor
from epimesh.stages.shared.latent_conditioner import ViewCondition
from epimesh.stages.zero123.small_network import load_view_denoiser, small_scheduler, small_view_denoiser
from epimesh.training.base import Training
from epimesh.training.data.latents import PairLatents, RingLatents
from epimesh.training.data.pack_data import ViewBatch


class SmallZero123Training(Training):
    """Learns to denoise ring views from one photo.

    Args:
        export: folder that the averaged network is saved to.
        autoencoder: weights of the autoencoder whose latents are denoised.
        priors: weights of two coarse priors, the first trained without fold 0 and the second without fold 1: each
            object gets the guess of the one that never saw it. Empty trains without a prior.
        start_from: exported weights to go on from; null starts anew.
        minutes: length of the schedule by wall clock.
        rate: peak learning rate.
        channels: of the UNet's levels, from fine to coarse; null means 64, 128, 160.
        largest_time: noisier times are not drawn. A denoiser that starts from a coarse guess need not know them, and
            learns the others sooner.
        drop: share of the items that lose all conditions, for guidance.
        photo_noise: deviation of the noise on the photo's latents.
        prior_noise: deviation of the noise on the prior's latents.
        export_every: steps between exports, so that an interrupted training leaves something usable.
    """

    def __init__(
        self,
        export: str,
        autoencoder: str = "bundled:patch-vae",
        priors: list[str] | None = None,
        start_from: str | None = None,
        minutes: float = 60,
        rate: float = 6e-4,
        channels: list[int] | None = None,
        largest_time: int = 1000,
        drop: float = 0.08,
        photo_noise: float = 0.05,
        prior_noise: float = 0.05,
        export_every: int = 300,
    ) -> None:
        fresh = small_view_denoiser(channels or (64, 128, 160), largest_time=largest_time)
        network = fresh if start_from is None else load_view_denoiser(start_from).network
        network.conditioner.register_to_config(largest_time=largest_time)
        super().__init__(
            network.train().requires_grad_(True),
            export=export,
            minutes=minutes,
            rate=rate,
            decay=0.9995,
            export_every=export_every,
        )
        self.autoencoder = load_autoencoder(autoencoder)
        self.prior = FoldPriors(priors) if priors else None
        self.schedule = NoiseSchedule.scaled_linear()
        self.drop, self.photo_noise, self.prior_noise = drop, photo_noise, prior_noise

    def training_step(self, batch: ViewBatch | PairLatents, batch_idx: int) -> Tensor:
        """The squared error of the velocity."""
        with torch.no_grad():
            autoencoder = self.autoencoder.to(str(self.device), torch.float32)
            pairs = batch if isinstance(batch, PairLatents) else PairLatents.of(batch, autoencoder)
            request = self._request(pairs)
            times = torch.randint(self.network.largest_time, (len(pairs.fold),), device=self.device)
            noise = torch.randn_like(pairs.target)
            keep = torch.rand(len(pairs.fold), device=self.device) >= self.drop
        predicted = self.network(self.schedule.add_noise(pairs.target, noise, times), times, request, keep)
        loss = (predicted.float() - self.schedule.velocity(pairs.target, noise, times)).square().mean()
        self.log("loss", loss, prog_bar=True)
        return loss

    def write_export(self, folder: Path) -> None:
        """Writes unet, conditioner and schedule."""
        self.network.save(folder, small_scheduler())

    def _request(self, pairs: PairLatents) -> ViewCondition:
        prior = torch.zeros_like(pairs.photo)
        if self.prior is not None:
            prior = self.prior.views(pairs.photo, pairs.elevation_deg, pairs.fold, pairs.turn[:, None])[:, 0]
            prior = prior + self.prior_noise * torch.randn_like(prior)
        photo = pairs.photo + self.photo_noise * torch.randn_like(pairs.photo)
        return ViewCondition(photo, ring_pose(pairs.turn, pairs.elevation_deg), prior)


class FoldPriors:
    """Two coarse priors, each trained without the objects of one fold.

    A prior is much better on objects it has seen. A denoiser that learns from such guesses trusts them too much.

    Args:
        sources: weights of the prior without fold 0, and of the one without fold 1.
        elevation_noise_deg: deviation of the noise on the elevation: users guess it.
    """

    def __init__(self, sources: list[str], elevation_noise_deg: float = 4.0) -> None:
        if len(sources) != 2:
            raise BadInput(f"Found {len(sources)} priors, expected two: trained without fold 0, and without fold 1.")
        self.networks = [load_ring_regressor(source) for source in sources]
        self.elevation_noise_deg = elevation_noise_deg

    def views(
        self,
        photo: Float[Tensor, "B C h w"],
        elevation_deg: Float[Tensor, "B"],
        fold: Int[Tensor, "B"],
        turns: Int[Tensor, "B n"],
    ) -> Float[Tensor, "B n C h w"]:
        """Latents of ring views, `turns` steps from the photo, as the prior that never saw the object imagines them."""
        noisy_deg = elevation_deg + self.elevation_noise_deg * torch.randn_like(elevation_deg)
        rows = torch.arange(len(photo), device=photo.device)[:, None]
        guesses = []
        for network in self.networks:
            components = network.to(photo.device).components
            ring = network.ring_codes(components.encode(photo), noisy_deg)
            guesses.append(components.decode(ring[rows, turns]))
        return torch.where((fold == 0)[:, None, None, None, None], *guesses)


def ring_pose(
    turn: Int[Tensor, "B"], elevation_deg: Float[Tensor, "B"], ring_elevation_deg: float = 30.0
) -> Float[Tensor, "B 6"]:
    """The pose of ring views relative to photos at azimuth 0, `turn` steps of 22.5 degrees away."""
    azimuth = turn * (AZIMUTH_STEP_DEG * math.pi / 180)
    elevation = torch.deg2rad(elevation_deg)
    target = torch.full_like(elevation, math.radians(ring_elevation_deg))
    # Polar angles run downwards from +z, elevations upwards.
    return torch.stack(
        [elevation - target, azimuth.sin(), azimuth.cos(), torch.zeros_like(target), elevation, target], 1
    )


def ring_request(rings: RingLatents, prior: FoldPriors | None, photo_noise: float, prior_noise: float) -> ViewCondition:
    """What is asked for where all views of every object are: with the guess of a prior that has not seen it.

    Args:
        rings: photos and the truth.
        prior: makes the guesses; None leaves them zero.
        photo_noise: deviation of the noise on the photo's latents.
        prior_noise: deviation of the noise on the guesses.
    """
    turns: Int[Tensor, "B 16"] = torch.arange(RING, device=rings.photo.device).expand(len(rings.fold), -1)
    guess = torch.zeros_like(rings.ring)
    if prior is not None:
        guess = prior.views(rings.photo, rings.elevation_deg, rings.fold, turns)
        guess = guess + prior_noise * torch.randn_like(guess)
    photo = rings.photo + photo_noise * torch.randn_like(rings.photo)
    pose = ring_pose(turns.flatten(), rings.elevation_deg.repeat_interleave(RING))
    return ViewCondition(photo.repeat_interleave(RING, dim=0), pose.to(photo), guess.flatten(0, 1))
