"""Trains the small joint denoiser: all views of an object are noised together, some of them are supervised."""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from epimesh.cameras import RING
from epimesh.diffusion.autoencoder import load_autoencoder
from epimesh.diffusion.guidance import Branch
from epimesh.diffusion.schedules import NoiseSchedule
from epimesh.errors import BadInput
from epimesh.stages.shared.latent_conditioner import ViewCondition
from epimesh.stages.syncdreamer.small_network import SmallJointDenoiser, joint_from_views, load_small_joint
from epimesh.stages.syncdreamer.volume import picked
from epimesh.stages.zero123.small_network import load_view_denoiser, small_scheduler
from epimesh.training.base import Training
from epimesh.training.data.latents import RingLatents
from epimesh.training.data.ring_batches import RingViews
from epimesh.training.zero123.small_training import FoldPriors, ring_request


class SmallSyncDreamerTraining(Training):
    """Learns to denoise all ring views together from one photo, beginning with a trained view denoiser.

    Args:
        export: folder that the averaged network is saved to.
        views: weights of the small view denoiser that the UNet and the conditioner begin with.
        autoencoder: weights of the autoencoder whose latents are denoised.
        priors: weights of two coarse priors, the first trained without fold 0 and the second without fold 1: each
            object gets the guess of the one that never saw it. Empty trains without a prior.
        start_from: exported weights of a joint denoiser to go on from instead; null begins with `views`.
        minutes: length of the schedule by wall clock.
        rate: peak learning rate of the volume and of the attention to it.
        unet_share: share of the rate that the UNet and the conditioner, which are trained already, learn at. 0 leaves
            them as they are: then the same weights serve as view denoiser too.
        views_per_step: how many of the 16 views are supervised; all of them are in the volume.
        largest_time: noisier times are not drawn; null is that of the weights it begins with.
        drop: share of the objects that lose something for guidance: a third of them everything, a third photo, poses
            and guess, a third the volume.
        photo_noise: deviation of the noise on the photo's latents.
        prior_noise: deviation of the noise on the prior's latents.
        export_every: steps between exports, so that an interrupted training leaves something usable.

    Source:
        Liu et al., "SyncDreamer" (arXiv:2309.03453), section 3 and appendix: one time for all views of an object, the
        loss on some of the views.
    """

    def __init__(
        self,
        export: str,
        views: str = "bundled:syncdreamer-small",
        autoencoder: str = "bundled:patch-vae",
        priors: list[str] | None = None,
        start_from: str | None = None,
        minutes: float = 50,
        rate: float = 6e-4,
        unet_share: float = 0.2,
        views_per_step: int = 4,
        largest_time: int | None = None,
        drop: float = 0.08,
        photo_noise: float = 0.05,
        prior_noise: float = 0.05,
        export_every: int = 200,
    ) -> None:
        if not 1 <= views_per_step <= RING:
            raise BadInput(f"views_per_step is {views_per_step}, expected 1 to {RING}.")
        network = (
            load_small_joint(start_from).network if start_from else joint_from_views(load_view_denoiser(views).network)
        )
        if largest_time is not None:
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
        self.unet_share, self.views_per_step = unet_share, views_per_step
        self.drop, self.photo_noise, self.prior_noise = drop, photo_noise, prior_noise

    def shares(self) -> list[tuple[float, Iterable[nn.Parameter]]]:
        """The parts that are trained already learn more slowly than the volume and the attention to it."""
        trained = nn.ModuleList([self.network.joint.unet.unet, self.network.conditioner])
        trained.requires_grad_(self.unet_share > 0)
        known = set(trained.parameters())
        return [
            (self.unet_share, trained.parameters()),
            (1.0, [parameter for parameter in self.network.parameters() if parameter not in known]),
        ]

    def training_step(self, batch: RingViews | RingLatents, batch_idx: int) -> Tensor:
        """The squared error of the velocity of the chosen views."""
        network: SmallJointDenoiser = self.network
        with torch.no_grad():
            autoencoder = self.autoencoder.to(str(self.device), torch.float32)
            rings = batch if isinstance(batch, RingLatents) else RingLatents.of(batch, autoencoder)
            count = len(rings.fold)
            request = self.request(rings)
            times = torch.randint(network.largest_time, (count,), device=self.device)
            noise = torch.randn_like(rings.ring)
            noisy = self.schedule.add_noise(rings.ring, noise, times)
            chosen = torch.rand(count, RING, device=self.device).argsort(dim=1)[:, : self.views_per_step]
            lost = torch.rand(count, device=self.device) / max(self.drop, 1e-9) * 3  # 0 to 1, 1 to 2, 2 to 3, kept
        conditions = network.conditions(request, rings.elevation_deg, keep=lost >= 2)
        sees = (lost >= 3) | ((lost >= 1) & (lost < 2))
        rays = self._rays(noisy, times, conditions.view, chosen, sees)
        predicted = network.joint.predictions(noisy, times, conditions, rays, chosen, [Branch()])[0]
        wanted = picked(self.schedule.velocity(rings.ring, noise, times), chosen)
        loss = (predicted.float() - wanted).square().mean()
        self.log("loss", loss, prog_bar=True)
        return loss

    def write_export(self, folder: Path) -> None:
        """Writes unet, volume, conditioner and schedule."""
        self.network.save(folder, small_scheduler())

    def _rays(self, noisy: Tensor, times: Tensor, view: Tensor, chosen: Tensor, sees: Tensor) -> list[Tensor]:
        """What the chosen views see of the volume; zeros for objects that lose it, as in the branch without volume."""
        volume = self.network.joint.volume
        rays = volume.frustums(volume(noisy, times, view), times, view, chosen)
        rows = sees.repeat_interleave(chosen.shape[1])
        return [level * rows[:, None, None, None, None] for level in rays]

    def request(self, rings: RingLatents) -> ViewCondition:
        """What is asked for: all views of every object, with the guess of a prior that has not seen it."""
        return ring_request(rings, self.prior, self.photo_noise, self.prior_noise)
