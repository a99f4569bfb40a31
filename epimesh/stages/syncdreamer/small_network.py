"""The small joint denoiser: a trained view denoiser whose views are tied by a volume, as one folder of weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDIMScheduler
from jaxtyping import Bool, Float
from torch import Tensor, nn

from epimesh import weights
from epimesh.cameras import Cameras
from epimesh.diffusion.schedules import NoiseSchedule, Prediction
from epimesh.diffusion.stored_schedule import load_schedule
from epimesh.errors import BadWeights
from epimesh.stages.shared.latent_conditioner import LatentConditioner, ViewCondition
from epimesh.stages.shared.view_denoiser import ViewDenoiser, check_fit, save_parts
from epimesh.stages.syncdreamer.denoiser import Conditions, JointDenoiser
from epimesh.stages.syncdreamer.unet import DepthUNet
from epimesh.stages.syncdreamer.volume import SpatialVolume
from epimesh.weights.loading import load_network


class SmallJointDenoiser(nn.Module):
    """A joint denoiser that is told what the small view denoiser is told: the photo, the poses, and a coarse guess.

    Args:
        joint: the UNet with depth attention, and the volume.
        conditioner: encodes what is asked for.

    Source:
        Liu et al., "SyncDreamer" (arXiv:2309.03453); the small conditioner and the coarse guess are this project's.
    """

    def __init__(self, joint: JointDenoiser, conditioner: LatentConditioner) -> None:
        super().__init__()
        self.joint = joint
        self.conditioner = conditioner

    @property
    def largest_time(self) -> int:
        """Sampling has to start below this time: noisier ones were not trained."""
        return int(self.conditioner.config.largest_time)

    @property
    def latent_channels(self) -> int:
        """Channels of the views it makes."""
        return int(self.joint.volume.config.latent_channels)

    @property
    def latent_size(self) -> int:
        """Side of the latents of the views it makes."""
        return int(self.joint.volume.config.latent_size)

    def conditions(
        self, request: ViewCondition, elevation_deg: Float[Tensor, "B"], keep: Bool[Tensor, "B"] | None = None
    ) -> Conditions:
        """What the joint denoiser is told of B objects.

        Args:
            request: all views of every object; rows are objects, then views.
            elevation_deg: of the photos.
            keep: False for objects that lose photo, poses and guess. What they see of the volume is another matter.
        """
        views = self.joint.views
        kept = None if keep is None else keep.repeat_interleave(views)
        rows = self.conditioner(request, kept)
        view = self.joint.volume.rig.view_vectors(torch.deg2rad(elevation_deg))
        channels, tokens, vector = (part.unflatten(0, (-1, views)) for part in rows)
        return Conditions(channels, tokens, view.to(channels), vector)

    def save(self, folder: Path, scheduler: DDIMScheduler) -> None:
        """Writes the weights in half precision, and the schedule."""
        parts = {"unet": self.joint.unet, "volume": self.joint.volume, "conditioner": self.conditioner}
        save_parts(folder, parts, scheduler)


def joint_from_views(
    single: ViewDenoiser,
    side: int = 16,
    depths: int = 12,
    encoder_width: int = 8,
    volume_channels: Sequence[int] = (32, 64, 96),
    frustum_channels: Sequence[int] = (32, 48, 64),
    pixels_per_latent: int = 8,
) -> SmallJointDenoiser:
    """A joint denoiser that predicts for every view exactly what the view denoiser does, until it is trained.

    Args:
        single: whose UNet and conditioner it takes over, without copying them.
        side: voxels along each side of the volume.
        depths: samples along each ray.
        encoder_width: features per view that are lifted.
        volume_channels: of the volume's 3D UNet, finest first.
        frustum_channels: of the frustum network, finest first; as many levels as the UNet.
        pixels_per_latent: of the autoencoder, along each side.
    """
    config = {name: value for name, value in single.unet.config.items() if not name.startswith("_")}
    unet = DepthUNet(config, frustum_channels)
    unet.unet = single.unet
    size = int(config["sample_size"])
    cameras = Cameras.ring(size=size * pixels_per_latent)
    volume = SpatialVolume(
        views=len(cameras),
        image_size=cameras.width,
        latent_size=size,
        latent_channels=single.latent_channels,
        side=side,
        depths=depths,
        encoder_width=encoder_width,
        volume_channels=tuple(volume_channels),
        frustum_channels=tuple(frustum_channels),
        time_width=128,
        world_to_camera=cameras.world_to_camera[:, :3].tolist(),
        intrinsics=_of_centres(cameras, pixels_per_latent).tolist(),
        azimuth=(torch.arange(len(cameras)) * (2 * torch.pi / len(cameras))).tolist(),
    )
    return SmallJointDenoiser(JointDenoiser(unet, volume), single.conditioner)


def _of_centres(cameras: Cameras, pixels_per_latent: int) -> Float[Tensor, "N 3 3"]:
    """Intrinsics by which the integer index of a latent, as the volume counts, is the middle of its patch."""
    shifted = cameras.intrinsics.clone()
    shifted[:, :2, 2] -= pixels_per_latent / 2
    return shifted


@dataclass(frozen=True, eq=False)
class LoadedJoint:
    """A small joint denoiser with the facts that sampling needs."""

    network: SmallJointDenoiser
    schedule: NoiseSchedule
    prediction: Prediction


def load_small_joint(source: str) -> LoadedJoint:
    """The small joint denoiser in a weights folder.

    Raises:
        WeightsNotFound: there is no such folder.
        BadWeights: a part is missing, damaged, or made for another model.
    """
    folder = weights.resolve(source)
    unet = load_network(DepthUNet, folder / "unet")
    volume = load_network(SpatialVolume, folder / "volume")
    conditioner = load_network(LatentConditioner, folder / "conditioner")
    check_fit(folder, unet.unet.config, conditioner.config)
    if volume.config.views != len(Cameras.ring(size=8)):
        raise BadWeights(
            f"{folder}/volume ties {volume.config.views} views, expected {len(Cameras.ring(size=8))}.\n"
            "Export or download it again."
        )
    network = SmallJointDenoiser(JointDenoiser(unet, volume), conditioner)
    return LoadedJoint(network.eval().requires_grad_(False), *load_schedule(folder / "scheduler"))
