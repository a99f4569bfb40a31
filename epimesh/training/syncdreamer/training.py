"""Trains SyncDreamer at its published size: a volume and the attention to it, on a UNet that stays as it is."""

import shutil
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from diffusers import UNet2DConditionModel
from jaxtyping import Bool, Float
from torch import Tensor

from epimesh import weights
from epimesh.cameras import RING
from epimesh.diffusion.autoencoder import load_kl_autoencoder
from epimesh.diffusion.guidance import Branch
from epimesh.diffusion.stored_schedule import load_eps_schedule
from epimesh.stages.shared.photo_token import PhotoToken, clip_pixels
from epimesh.stages.syncdreamer.denoiser import Conditions, JointDenoiser
from epimesh.stages.syncdreamer.unet import DepthUNet
from epimesh.stages.syncdreamer.volume import SpatialVolume, picked
from epimesh.training.base import Exporting
from epimesh.training.data.pack_data import network_pictures
from epimesh.training.data.ring_batches import RingViews
from epimesh.weights.loading import load_image_encoder, load_part, part

PIXELS_PER_LATENT = 8
_GIVEN_PARTS = ("vae", "image_encoder", "photo_token", "scheduler")


class Kept(NamedTuple):
    """Of every object, which conditions it keeps."""

    channels: Bool[Tensor, "B"]
    tokens: Bool[Tensor, "B"]
    volume: Bool[Tensor, "B"]


class SyncDreamerTraining(Exporting):
    """Learns to denoise 16 views together, beginning with Zero-1-to-3, as the published model was trained.

    Only the volume branch and the attention along the rays learn; UNet, token, autoencoder and CLIP stay as they are.
    Every step noises all views of an object with one time, builds the volume from all of them, and supervises the noise
    of one view. The random numbers of a step follow from seed, step and process alone, so that a training that was
    stopped goes on as if it had not been.

    Args:
        export: folder that is written at the end, for the stage `SyncDreamer`.
        zero123: converted weights of Zero-1-to-3 to begin with. The published training began with the last weights
            instead of their averages: `epimesh convert zero123 ... --raw`.
        start_from: converted or exported weights of a SyncDreamer to go on from; null begins anew.
        rate: learning rate of the attention along the rays.
        volume_rate: learning rate of the volume branch.
        warm_up: steps over which the rates climb from a fiftieth; they stay afterwards.
        drop: whether a fifth of the objects lose something, for guidance: a quarter of them everything, a quarter the
            photo's latents, a quarter the volume, a quarter the token. The published training did not.
        recompute: compute the UNet's layers again on the way back instead of keeping what they held: a third more time,
            and a fraction of the memory.
        side: voxels along each side of the volume.
        depths: samples along each ray.
        volume_channels: of the volume's 3D UNet, finest first.
        frustum_channels: of the frustum network, finest first; as many levels as the UNet.
        export_every: steps between exports, so that an interrupted training leaves something usable.
        seed: of times, noise, and choices.

    Source:
        Liu et al., "SyncDreamer" (arXiv:2309.03453), section 3 and appendix, and the published configuration: AdamW
        with torch's defaults, 5e-5 and 5e-4, 100 steps of warm-up.
    """

    def __init__(
        self,
        export: str,
        zero123: str = "published:zero123-xl",
        start_from: str | None = None,
        rate: float = 5e-5,
        volume_rate: float = 5e-4,
        warm_up: int = 100,
        drop: bool = False,
        recompute: bool = True,
        side: int = 32,
        depths: int = 48,
        volume_channels: Sequence[int] = (64, 128, 256, 512),
        frustum_channels: Sequence[int] = (64, 128, 256, 512),
        export_every: int = 2000,
        seed: int = 0,
    ) -> None:
        super().__init__(export, export_every)
        self.seed = seed
        self.rate, self.volume_rate, self.warm_up = rate, volume_rate, warm_up
        self.drop = drop
        self.source = start_from or zero123
        if start_from:
            unet = load_part(DepthUNet, part(start_from, "unet"))
            volume = load_part(SpatialVolume, part(start_from, "volume"))
        else:
            unet = with_depth_attention(load_part(UNet2DConditionModel, part(zero123, "unet")), frustum_channels)
            volume = _new_volume(unet, side, depths, volume_channels, frustum_channels)
        self.network = JointDenoiser(unet, volume).train().requires_grad_(True)
        self.network.unet.unet.requires_grad_(False)
        self.network.unet.recompute = recompute
        self.schedule = load_eps_schedule(part(self.source, "scheduler"))
        # In a tuple, for they neither learn nor belong in the checkpoints.
        self._given = (
            load_kl_autoencoder(part(self.source, "vae")).network,
            load_image_encoder(part(self.source, "image_encoder")),
            load_part(PhotoToken, part(self.source, "photo_token")),
        )

    def configure_optimizers(self) -> tuple[list[torch.optim.Optimizer], list[dict[str, Any]]]:
        """AdamW with two rates that climb together."""
        unet = self.network.unet
        groups = [
            {"params": [*unet.depth_middle.parameters(), *unet.depth_up.parameters()], "lr": self.rate},
            {"params": list(self.network.volume.parameters()), "lr": self.volume_rate},
        ]
        optimizer = torch.optim.AdamW(groups)
        climb = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmed_up(step, self.warm_up))
        return [optimizer], [{"scheduler": climb, "interval": "step"}]

    def on_fit_start(self) -> None:
        """Moves what is given to where the training runs."""
        for network in self._given:
            network.to(self.device)

    def training_step(self, batch: RingViews, batch_idx: int) -> Tensor:
        """The squared error of the noise of one view of every object."""
        loss = self.loss(batch, step_random(self.seed, self.global_step, self.global_rank))
        self.log("loss", loss, prog_bar=True)
        return loss

    def loss(self, batch: RingViews, random: torch.Generator) -> Float[Tensor, ""]:
        """The same with given random numbers."""
        with torch.no_grad():
            clean, conditions = self._encoded(batch, random)
            count = len(clean)
            times = torch.randint(len(self.schedule), (count,), generator=random).to(clean.device)
            noise = torch.randn(clean.shape, generator=random).to(clean)
            chosen = torch.randint(RING, (count, 1), generator=random)
            kept = kept_conditions(torch.rand(count, generator=random) if self.drop else torch.ones(count))
            noisy = self.schedule.add_noise(clean, noise, times)
        predicted = self.predicted(noisy, times, conditions, chosen, kept)
        return (predicted.float() - picked(noise, chosen)).square().mean()

    def predicted(
        self, noisy: Float[Tensor, "B N C h w"], times: Tensor, conditions: Conditions, chosen: Tensor, kept: Kept
    ) -> Float[Tensor, "V C h w"]:
        """The noise of the chosen views, from what every object keeps of its conditions."""
        rows = Kept(*(part.to(noisy.device) for part in kept))
        told = Conditions(
            conditions.channels * rows.channels[:, None, None, None],
            conditions.tokens * rows.tokens[:, None, None, None],
            conditions.view,
        )
        volume = self.network.volume
        rays = volume.frustums(volume(noisy, times, told.view), times, told.view, chosen)
        seen = rows.volume.repeat_interleave(chosen.shape[1])[:, None, None, None, None]
        rays = [level * seen for level in rays]  # of zeros, as in the branch of guidance that has no volume
        return self.network.predictions(noisy, times, told, rays, chosen, [Branch()])[0]

    def save_for_use(self) -> None:
        """Writes all parts that the stage needs, from one process only."""
        if not self.trainer.is_global_zero:
            return
        self.network.unet.save_pretrained(self.export / "unet")
        self.network.volume.save_pretrained(self.export / "volume")
        for name in _GIVEN_PARTS:
            if not (self.export / name).is_dir():
                shutil.copytree(weights.resolve(self.source) / name, self.export / name)

    def _encoded(self, batch: RingViews, random: torch.Generator) -> tuple[Float[Tensor, "B N C h w"], Conditions]:
        """Latents of all views, and what is known of the photo; both are samples of the posterior."""
        vae, encoder, token = self._given
        rig = self.network.volume.rig
        photo = self._images(batch.photo)
        rings = [self._sampled(vae, self._images(ring), random) for ring in batch.ring]
        clean = torch.stack(rings) * float(vae.config.scaling_factor)
        view = rig.view_vectors(torch.deg2rad(batch.elevation_deg)).to(clean)
        embedding = encoder(clip_pixels(photo)).image_embeds
        tokens = token(embedding.repeat_interleave(len(rig), dim=0), view.flatten(0, 1)).unflatten(0, view.shape[:2])
        return clean, Conditions(self._sampled(vae, photo, random), tokens, view)

    def _images(self, rgba: Tensor) -> Float[Tensor, "B 3 S S"]:
        return network_pictures(rgba, int(self.network.volume.config.image_size))

    def _sampled(self, vae: Any, images: Tensor, random: torch.Generator) -> Float[Tensor, "B C h w"]:
        posterior = vae.encode(images).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=random).to(posterior.mean)
        return posterior.mean + posterior.std * noise


def with_depth_attention(unet: UNet2DConditionModel, frustum_channels: Sequence[int]) -> DepthUNet:
    """The same UNet with attention along rays, which changes nothing until it is trained."""
    config = {name: value for name, value in unet.config.items() if not name.startswith("_")}
    made = DepthUNet(config, tuple(frustum_channels))
    made.unet = unet
    return made


def warmed_up(step: int, warm_up: int) -> float:
    """The factor of the learning rates: from a fiftieth to 1 in `warm_up` steps, then 1."""
    return min(1.0, 0.02 + 0.98 * step / warm_up) if warm_up > 0 else 1.0


def step_random(seed: int, step: int, process: int) -> torch.Generator:
    """The random numbers of one step in one process; always from the CPU, so that they are the same everywhere."""
    return torch.Generator().manual_seed(seed * 1_000_003**2 + step * 1_000_003 + process & 0x7FFFFFFFFFFFFFFF)


def kept_conditions(drawn: Float[Tensor, "B"]) -> Kept:
    """Which conditions are kept, from a number in 0 to 1 for every object; above a fifth, all of them.

    Source:
        The published code of SyncDreamer: up to .05 nothing is kept, then in turn all but the photo's latents, all but
        the volume, all but the token.
    """
    everything = drawn <= 0.05
    channels, volume, tokens = ((drawn > low) & (drawn <= low + 0.05) for low in (0.05, 0.10, 0.15))
    return Kept(~(everything | channels), ~(everything | tokens), ~(everything | volume))


def _new_volume(
    unet: DepthUNet, side: int, depths: int, volume_channels: Sequence[int], frustum_channels: Sequence[int]
) -> SpatialVolume:
    size = int(unet.unet.config.sample_size)
    return SpatialVolume(
        views=RING,
        image_size=size * PIXELS_PER_LATENT,
        latent_size=size,
        latent_channels=int(unet.unet.config.out_channels),
        side=side,
        depths=depths,
        volume_channels=tuple(volume_channels),
        frustum_channels=tuple(frustum_channels),
    )
