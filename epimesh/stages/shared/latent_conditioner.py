"""What the small view denoiser is told: the photo's latents, the pose of the wanted view, and a coarse guess of it."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Bool, Float
from torch import Tensor, nn

from epimesh.errors import StageMismatch

POSE = 6  # Cameras.view_delta, then the elevations of photo and target in radians


@dataclass(frozen=True, eq=False)
class Prompts:
    """K views of the object, made before, for each of B views that are asked for.

    Args:
        latents: scaled.
        pose: from the prompt's camera to the wanted one, as in `ViewCondition`; all zeros mark an attempt at the wanted
            view.
    """

    latents: Float[Tensor, "B K C h w"]
    pose: Float[Tensor, "B K 6"]

    def __getitem__(self, items: slice | list[int]) -> "Prompts":
        """Those of some of the views."""
        return Prompts(self.latents[items], self.pose[items])

    def joined(self, other: "Prompts") -> "Prompts":
        """Those of these views, then of the other's."""
        return Prompts(torch.cat([self.latents, other.latents]), torch.cat([self.pose, other.pose]))

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Prompts":
        """The same on another device or in another precision."""
        return Prompts(self.latents.to(device, dtype), self.pose.to(device, dtype))


@dataclass(frozen=True, eq=False)
class ViewCondition:
    """B views that are asked for.

    Args:
        photo: scaled latents of the photo.
        pose: Cameras.view_delta from photo to target, elevation of the photo, elevation of the target; radians.
        prior: scaled latents of a coarse guess of the target; zeros where there is none.
        prompts: other views of the object, for weights that take them.
    """

    photo: Float[Tensor, "B C h w"]
    pose: Float[Tensor, "B 6"]
    prior: Float[Tensor, "B C h w"]
    prompts: Prompts | None = None

    def __getitem__(self, items: slice | list[int]) -> "ViewCondition":
        """Some of the views."""
        prompts = None if self.prompts is None else self.prompts[items]
        return ViewCondition(self.photo[items], self.pose[items], self.prior[items], prompts)

    def joined(self, other: "ViewCondition") -> "ViewCondition":
        """These views, then those of the other.

        Raises:
            StageMismatch: only one of them has prompts.
        """
        if (self.prompts is None) != (other.prompts is None):
            raise StageMismatch("Only some of the views have prompts.\nGive prompts to all of them, or to none.")
        prompts = self.prompts.joined(other.prompts) if self.prompts and other.prompts else None
        pairs = ((self.photo, other.photo), (self.pose, other.pose), (self.prior, other.prior))
        photo, pose, prior = (torch.cat(pair) for pair in pairs)
        return ViewCondition(photo, pose, prior, prompts)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "ViewCondition":
        """The same on another device or in another precision."""
        prompts = None if self.prompts is None else self.prompts.to(device, dtype)
        photo, pose, prior = (part.to(device, dtype) for part in (self.photo, self.pose, self.prior))
        return ViewCondition(photo, pose, prior, prompts)


class UNetCondition(NamedTuple):
    """The same, as the UNet takes it.

    Args:
        channels: joined to the noisy latents.
        tokens: for cross-attention.
        vector: added to the time embedding.
    """

    channels: Float[Tensor, "B extra h w"]
    tokens: Float[Tensor, "B N D"]
    vector: Float[Tensor, "B K"]


class LatentConditioner(ModelMixin, ConfigMixin):
    """Encodes the photo from its own latents, so that no second large network is needed.

    Args:
        latent_channels: of the autoencoder.
        prior_channels: channels for the coarse guess; 0 for models that take none.
        token_width: D of the tokens.
        vector_width: K of the vector.
        width: of the convolutions.
        largest_time: the noisiest time that was trained, plus one; sampling has to start below it.
    """

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 12,
        prior_channels: int = 12,
        token_width: int = 128,
        vector_width: int = 192,
        width: int = 96,
        largest_time: int = 1000,
    ) -> None:
        super().__init__()
        self.image = nn.Sequential(
            nn.Conv2d(latent_channels, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, token_width, 3, stride=2, padding=1),
        )
        self.pose_token = nn.Linear(POSE, token_width)
        self.vector = nn.Sequential(
            nn.Linear(POSE + token_width, vector_width), nn.SiLU(), nn.Linear(vector_width, vector_width)
        )

    def forward(self, request: ViewCondition, keep: Bool[Tensor, "B"] | None = None) -> UNetCondition:
        """The conditions; all zero for the items that `keep` drops, which is the unconditional case."""
        photo, pose, prior = request.photo, request.pose, request.prior
        image = self.image(photo).flatten(2).transpose(1, 2)
        tokens = torch.cat([image, self.pose_token(pose)[:, None]], dim=1)
        vector = self.vector(torch.cat([pose, image.mean(dim=1)], dim=1))
        channels = torch.cat([photo, prior], dim=1) if self.config.prior_channels else photo
        if keep is None:
            return UNetCondition(channels, tokens, vector)
        kept = keep.to(photo)
        return UNetCondition(channels * kept[:, None, None, None], tokens * kept[:, None, None], vector * kept[:, None])
