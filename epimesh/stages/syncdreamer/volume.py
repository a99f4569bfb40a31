"""The volume branch: noisy views into one volume of features, and that volume back into the frustum of every view."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from itertools import pairwise

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float, Int
from torch import Tensor, nn

from epimesh.errors import BadInput
from epimesh.stages.syncdreamer.blocks import GROUPS, ViewBlock, VolumeBlock
from epimesh.stages.syncdreamer.rig import Rig, grid_sampled, rig_from_numbers

VIEW = 4  # numbers that describe a view: Rig.view_vectors
Pyramid = list[Tensor]
"""Features along the rays of V views, finest first: level k is (V, channels[k], depths >> k, size >> k, size >> k)."""


class ViewEncoder(nn.Module):
    """Features of one noisy view; all views share it."""

    def __init__(self, latent_channels: int, width: int, time: int, blocks: int = 3) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(latent_channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(ViewBlock(width, time, VIEW) for _ in range(blocks))
        self.norm_out = nn.GroupNorm(GROUPS, width)
        self.conv_out = nn.Conv2d(width, width, 3, padding=1)

    def forward(
        self, noisy: Float[Tensor, "B C h w"], time: Float[Tensor, "B T"], view: Float[Tensor, "B 4"]
    ) -> Float[Tensor, "B W h w"]:
        x = self.conv_in(noisy)
        for block in self.blocks:
            x = block(x, time, view)
        return self.conv_out(F.silu(self.norm_out(x)))


class VolumeNetwork(nn.Module):
    """A 3D UNet with additive skips over the lifted features of all views.

    Args:
        inside: channels of the lifted features of all views together.
        channels: per level, finest first.
        time: width of the time embedding.
    """

    def __init__(self, inside: int, channels: Sequence[int], time: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv3d(inside, channels[0], 3, padding=1)
        self.first = VolumeBlock(channels[0], channels[0], time)
        pairs = list(pairwise(channels))
        self.down = nn.ModuleList(VolumeBlock(fine, coarse, time, scale="half") for fine, coarse in pairs)
        self.same = nn.ModuleList(
            nn.ModuleList([VolumeBlock(coarse, coarse, time), VolumeBlock(coarse, coarse, time)]) for _, coarse in pairs
        )
        self.up = nn.ModuleList(VolumeBlock(coarse, fine, time, scale="double") for fine, coarse in reversed(pairs))

    def forward(self, x: Float[Tensor, "B C d h w"], time: Float[Tensor, "B T"]) -> Float[Tensor, "B K d h w"]:
        x = self.first(self.conv_in(x), time)
        kept = []
        for down, same in zip(self.down, self.same, strict=True):
            kept.append(x)
            x = down(x, time)
            for block in same:
                x = block(x, time)
        for up in self.up:
            x = kept.pop() + up(x, time)
        return x


class FrustumNetwork(nn.Module):
    """A 3D UNet with additive skips over what a view's rays see of the volume; every level is handed on.

    Args:
        inside: channels of the volume.
        channels: per level, finest first.
        time: width of the time embedding.
    """

    def __init__(self, inside: int, channels: Sequence[int], time: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv3d(inside, channels[0], 3, padding=1)
        pairs = list(pairwise(channels))
        self.down = nn.ModuleList(VolumeBlock(fine, coarse, time, VIEW, "half") for fine, coarse in pairs)
        self.same = nn.ModuleList(VolumeBlock(coarse, coarse, time, VIEW) for _, coarse in pairs)
        self.up = nn.ModuleList(VolumeBlock(coarse, fine, time, VIEW, "double") for fine, coarse in reversed(pairs))

    def forward(self, x: Float[Tensor, "V C d h w"], time: Float[Tensor, "V T"], view: Float[Tensor, "V 4"]) -> Pyramid:
        levels = [self.conv_in(x)]
        for down, same in zip(self.down, self.same, strict=True):
            levels.append(same(down(levels[-1], time, view), time, view))
        for level, up in zip(reversed(range(len(self.up))), self.up, strict=True):
            levels[level] = levels[level] + up(levels[level + 1], time, view)
        return levels


class SpatialVolume(ModelMixin, ConfigMixin):
    """What ties the views together: a volume from all noisy views, and what each view sees of it.

    Channels of the lifted features are concatenated over the views, so weights belong to one number of views and one
    order of the cameras.

    Args:
        views: N, how many views are denoised together.
        image_size: side of the images, in pixels.
        latent_size: side of their latents.
        latent_channels: of the latents.
        side: voxels along each side of the volume.
        depths: samples along each ray.
        encoder_width: features per view that are lifted.
        volume_channels: of the 3D UNet, finest first.
        frustum_channels: of the frustum network, finest first; as many levels as the UNet that reads them.
        time_width: of the time embedding.
        world_to_camera: of all views, N x 3 x 4; None is the ring at elevation 30 degrees.
        intrinsics: of all views, N x 3 x 3, for images of `image_size`.
        azimuth: of all views, in radians.
        half_side: half the side of the volume, in scene units.
        half_depth: how far the depths reach around the origin, in scene units.

    Source:
        Liu et al., "SyncDreamer" (arXiv:2309.03453), section 3.3, spatial volume and view frustum volume.
    """

    @register_to_config
    def __init__(
        self,
        views: int = 16,
        image_size: int = 256,
        latent_size: int = 32,
        latent_channels: int = 4,
        side: int = 32,
        depths: int = 48,
        encoder_width: int = 16,
        volume_channels: Sequence[int] = (64, 128, 256, 512),
        frustum_channels: Sequence[int] = (64, 128, 256, 512),
        time_width: int = 256,
        world_to_camera: Sequence[Sequence[Sequence[float]]] | None = None,
        intrinsics: Sequence[Sequence[Sequence[float]]] | None = None,
        azimuth: Sequence[float] | None = None,
        half_side: float = 0.5,
        half_depth: float = 0.86603,
    ) -> None:
        super().__init__()
        _check_halving(side, len(volume_channels), "side (of the volume)")
        _check_halving(latent_size, len(frustum_channels), "latent_size")
        _check_halving(depths, len(frustum_channels), "depths")
        _check_listed(views, world_to_camera, intrinsics, azimuth)
        self.time = nn.Sequential(nn.Linear(time_width, time_width), nn.SiLU(), nn.Linear(time_width, time_width))
        self.encoder = ViewEncoder(latent_channels, encoder_width, time_width)
        self.volume = VolumeNetwork(encoder_width * views, volume_channels, time_width)
        self.frustum = FrustumNetwork(volume_channels[0], frustum_channels, time_width)

    # Geometry is no part of the weights, and keeps single precision when they are halved.
    @cached_property
    def rig(self) -> Rig:
        """The cameras of all views."""
        config = self.config
        reach = float(config.half_side), float(config.half_depth)
        if config.world_to_camera is None:
            return replace(Rig.ring(config.views, config.image_size), half_side=reach[0], half_depth=reach[1])
        return rig_from_numbers(
            config.world_to_camera, config.intrinsics, config.azimuth, int(config.image_size), *reach
        )

    @cached_property
    def lifting_grid(self) -> Float[Tensor, "N side side side 2"]:
        """Where every voxel appears in every view's latents."""
        return self.rig.lifting_grid(int(self.config.side), int(self.config.latent_size))

    @cached_property
    def frustum_grid(self) -> Float[Tensor, "N depths h w 3"]:
        """Where the samples of every ray lie in the volume."""
        return self.rig.frustum_grid(int(self.config.depths), int(self.config.latent_size))

    def time_embedding(self, times: Int[Tensor, "B"]) -> Float[Tensor, "B T"]:
        """What the volume branch is told of the time."""
        width = int(self.config.time_width)
        waves = get_timestep_embedding(times, width, flip_sin_to_cos=True, downscale_freq_shift=0)
        return self.time(waves.to(self.time[0].weight.dtype))

    def lifted(
        self, noisy: Float[Tensor, "B N C h w"], time: Float[Tensor, "B T"], view: Float[Tensor, "B N 4"]
    ) -> Float[Tensor, "B NW side side side"]:
        """The features of every view along its rays through the cube; channel = view x width + feature."""
        self._check_latents(noisy)
        self.lifting_grid = self.lifting_grid.to(noisy.device)  # sent there once, not in every step
        objects, views = noisy.shape[:2]
        features = self.encoder(noisy.flatten(0, 1), time.repeat_interleave(views, dim=0), view.flatten(0, 1))
        flat = self.lifting_grid.flatten(1, 2).repeat(objects, 1, 1, 1)
        lifted = grid_sampled(features, flat).unflatten(2, self.lifting_grid.shape[1:3])
        return lifted.unflatten(0, (objects, views)).flatten(1, 2)

    def forward(
        self, noisy: Float[Tensor, "B N C h w"], times: Int[Tensor, "B"], view: Float[Tensor, "B N 4"]
    ) -> Float[Tensor, "B K side side side"]:
        """One volume for all views of an object, from all of its noisy views.

        Raises:
            BadInput: the views are not as many or as large as these weights were made for.
        """
        time = self.time_embedding(times)
        return self.volume(self.lifted(noisy, time, view.to(time)), time)

    def frustums(
        self,
        volume: Float[Tensor, "B K side side side"],
        times: Int[Tensor, "B"],
        view: Float[Tensor, "B N 4"],
        chosen: Int[Tensor, "B n"],
    ) -> Pyramid:
        """What the chosen views of every object see of its volume; rows are objects, then views."""
        rays = self.seen(volume, chosen)
        time = self.time_embedding(times).repeat_interleave(chosen.shape[1], dim=0)
        return self.frustum(rays, time, picked(view, chosen).to(time))

    def seen(
        self, volume: Float[Tensor, "B K side side side"], chosen: Int[Tensor, "B n"]
    ) -> Float[Tensor, "V K depths h w"]:
        """The volume along the rays of the chosen views, zero outside the cube; rows are objects, then views."""
        self.frustum_grid = self.frustum_grid.to(volume.device)
        grid = self.frustum_grid[chosen.to(volume.device)].flatten(0, 1)
        return grid_sampled(volume.repeat_interleave(chosen.shape[1], dim=0), grid)

    def _check_latents(self, noisy: Tensor) -> None:
        size = int(self.config.latent_size)
        wanted = (int(self.config.views), int(self.config.latent_channels), size, size)
        if tuple(noisy.shape[1:]) != wanted:
            raise BadInput(
                f"Got latents of (views, channels, height, width) {tuple(noisy.shape[1:])}.\n"
                f"These weights were made for {wanted}: the volume joins all views in a fixed order, so neither their "
                "number nor their size can be changed without training anew."
            )


def picked(views: Float[Tensor, "B N *shape"], chosen: Int[Tensor, "B n"]) -> Float[Tensor, "V *shape"]:
    """The chosen views of every object; rows are objects, then views."""
    objects = torch.arange(len(views), device=views.device)[:, None]
    return views[objects, chosen.to(views.device)].flatten(0, 1)


def _check_halving(size: int, levels: int, name: str) -> None:
    if size % 2 ** (levels - 1) != 0:
        raise BadInput(
            f"{name} is {size}, which cannot be halved {levels - 1} times for {levels} levels of channels.\n"
            f"Use a multiple of {2 ** (levels - 1)}, or fewer levels."
        )


def _check_listed(
    views: int,
    world_to_camera: Sequence[Sequence[Sequence[float]]] | None,
    intrinsics: Sequence[Sequence[Sequence[float]]] | None,
    azimuth: Sequence[float] | None,
) -> None:
    counts = [None if listed is None else len(listed) for listed in (world_to_camera, intrinsics, azimuth)]
    if counts not in ([None] * 3, [views] * 3):
        raise BadInput(
            f"views is {views}, but the config lists {counts} world_to_camera, intrinsics and azimuth.\n"
            "The number of views belongs to the weights: export or convert them again."
        )
