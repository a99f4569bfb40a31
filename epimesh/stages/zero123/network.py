"""Zero-1-to-3 as it was published: its UNet, what it is told of photo and pose, and the times it visits."""

from dataclasses import dataclass
from math import radians
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.diffusion.guidance import Branch
from epimesh.diffusion.schedules import uniform_timesteps
from epimesh.errors import BadInput
from epimesh.photo import Photo

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

    from epimesh.stages.shared.photo_token import PhotoToken

GROUPS = ("tokens", "channels")
TIMES = 1000
LastPose = Literal["radius", "polar"]


@dataclass(frozen=True, eq=False)
class PhotoAndPose:
    """What is known of B views.

    Args:
        channels: latents of the photo, not scaled, joined to the noisy latents.
        tokens: one per view, of the photo's embedding and the pose; more for models that are told of more pictures.
    """

    channels: Float[Tensor, "B C h w"]
    tokens: Float[Tensor, "B N D"]

    def __getitem__(self, views: slice) -> "PhotoAndPose":
        """Some of the views."""
        return PhotoAndPose(self.channels[views], self.tokens[views])

    def joined(self, other: "PhotoAndPose") -> "PhotoAndPose":
        """These views, then those of the other."""
        return PhotoAndPose(torch.cat([self.channels, other.channels]), torch.cat([self.tokens, other.tokens]))

    def to(self, device: str, dtype: torch.dtype) -> "PhotoAndPose":
        """The same on another device or in another precision."""
        return PhotoAndPose(self.channels.to(device, dtype), self.tokens.to(device, dtype))


class PhotoParts(NamedTuple):
    """The networks that see the photo.

    Args:
        vae: diffusers' AutoencoderKL.
        encoder: transformers' CLIPVisionModelWithProjection.
        token: joins its embedding and the pose.
    """

    vae: Any
    encoder: Any
    token: "PhotoToken"


def relative_pose(photo: Photo, cameras: Cameras, last: LastPose) -> Float[Tensor, "B 4"]:
    """The turn from the photo to every view, as the published models are told it.

    Args:
        photo: whose camera the turn starts from.
        cameras: of the views.
        last: what the fourth number is: the change of the distance, or the photo's polar angle in radians.

    Source:
        Liu et al., "Zero-1-to-3" (arXiv:2303.11328); Stable Zero123 was trained with the photo's elevation instead of
        a distance, which never changes in its renders: 1.22 at elevation 20, and 0 stands for a photo from straight up.
    """
    turn = photo.camera.view_delta(cameras)
    if last == "polar":
        turn[:, 3] = radians(90 - photo.elevation_deg)
    return turn


def known(
    image: Float[Tensor, "1 3 S S"], pose: Float[Tensor, "B 4"], vae: Any, encoder: Any, token: "PhotoToken"
) -> PhotoAndPose:
    """What the published model is told.

    Args:
        image: the photo on white, in [-1, 1].
        pose: `relative_pose` from the photo to every view.
        vae: diffusers' AutoencoderKL.
        encoder: transformers' CLIPVisionModelWithProjection.
        token: joins embedding and pose.

    Source:
        Liu et al., "Zero-1-to-3" (arXiv:2303.11328), section 3.2. The photo's latents are the posterior's mode without
        the usual scaling: so the published weights were trained.
    """
    from epimesh.stages.shared.photo_token import clip_pixels

    latents = vae.encode(image).latent_dist.mode()
    embedding = encoder(clip_pixels(image)).image_embeds
    return PhotoAndPose(latents.expand(len(pose), -1, -1, -1), token(embedding.expand(len(pose), -1), pose))


def predictions(
    unet: "UNet2DConditionModel",
    noisy: Float[Tensor, "B C h w"],
    times: Int[Tensor, "B"],
    told: PhotoAndPose,
    branches: list[Branch],
) -> list[Float[Tensor, "B C h w"]]:
    """What every branch of guidance predicts.

    A branch without the photo has zeros for the token, after the projection, so that it is not told the pose either.
    """
    inputs = torch.cat([torch.cat([noisy, told.channels * one.factor("channels")], dim=1) for one in branches])
    tokens = torch.cat([told.tokens * one.factor("tokens") for one in branches])
    return list(unet(inputs, times.repeat(len(branches)), tokens, return_dict=False)[0].chunk(len(branches)))


def published_timesteps(steps: int, skip_noisiest: bool) -> list[int]:
    """The times that the published sampler visits, descending.

    Args:
        steps: how many are asked for; has to divide 1000.
        skip_noisiest: leave out the first, as the published sampler does (by an off-by-one): 50 steps are 49, from 961.

    Raises:
        BadInput: the steps do not divide 1000, or none is left.
    """
    if steps < 1 or TIMES % steps != 0 or (skip_noisiest and steps < 2):
        raise BadInput(
            f"steps is {steps}; expected a number that divides {TIMES} (20, 25, 50, 100), and at least 2 with "
            "skip_noisiest."
        )
    return uniform_timesteps(steps, spacing="leading")[1 if skip_noisiest else 0 :]
