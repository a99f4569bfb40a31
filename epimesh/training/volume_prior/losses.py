"""What a volume prior is taught: occupancy of cells, colours of the surface, the photo's silhouette."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from epimesh.cameras import Cameras
from epimesh.stages.volume_prior.network import SIDE, VolumeNetwork, colors_at, occupancy_at
from epimesh.training.volume_prior.batches import SolidBatch

RAYS, STEPS = 64, 28  # of the object's pixels per photo, and points on each ray


def volume_losses(
    network: VolumeNetwork, batch: SolidBatch, ring: Float[Tensor, "B 16 4 h w"]
) -> dict[str, Float[Tensor, ""]]:
    """All losses, weighted; their sum is to be made small."""
    volume = network(batch.photo, ring, batch.told_deg)
    rays = object_rays(batch.photo, batch.told_deg)
    # A ray has to meet something within the volume: beyond it nothing else is learned.
    on_rays = occupancy_at(volume, rays.flatten(1, 2)).unflatten(1, (RAYS, STEPS))
    on_rays = on_rays.masked_fill((rays.abs() >= SIDE / 2).any(-1), -10.0)
    solid = batch.solid.float()
    rgb = colors_at(volume, batch.photo, batch.told_deg, batch.surface)
    return {
        "cells": 4 * functional.binary_cross_entropy_with_logits(volume.occupancy, solid),
        "dice": _dice(volume.occupancy.sigmoid().flatten(1), solid.flatten(1)),
        "color": 2 * (rgb - batch.surface_rgb).abs().mean(),
        "silhouette": 0.2 * functional.softplus(-on_rays.amax(2)).mean(),
    }


def _dice(likely: Float[Tensor, "B N"], truth: Float[Tensor, "B N"]) -> Float[Tensor, ""]:
    return (1 - (2 * (likely * truth).sum(1) + 1) / (likely.sum(1) + truth.sum(1) + 1)).mean()


def object_rays(photo: Float[Tensor, "B 4 H W"], elevation_deg: Float[Tensor, "B"]) -> Float[Tensor, "B R S 3"]:
    """Points on the rays of random pixels that the object covers, from the front of the volume to its back."""
    count, size = len(photo), photo.shape[-1]
    solid = (photo[:, 3] > 0.9).flatten(1).float() + 1e-6
    pixel = torch.multinomial(solid, RAYS, replacement=True)
    place = torch.stack([pixel % size, pixel // size], dim=-1) + 0.5
    cameras = Cameras.on_sphere(torch.zeros(count, device=photo.device), elevation_deg, size=size)
    focal, pose = cameras.intrinsics[0, 0, 0], cameras.world_to_camera
    plane = torch.cat([(place - size / 2) / focal, torch.ones_like(place[..., :1])], dim=-1)
    offset = torch.rand(count, RAYS, 1, device=photo.device)
    depth = 1.5 + ((torch.arange(STEPS, device=photo.device) + offset) / STEPS - 0.5) * SIDE
    own = plane[:, :, None] * depth[..., None]
    return torch.einsum("bji,brsj->brsi", pose[:, :3, :3], own - pose[:, None, None, :3, 3])
