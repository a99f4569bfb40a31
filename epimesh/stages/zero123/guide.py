"""The published Zero-1-to-3 as a guide: any views, each by itself."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.diffusion.guidance import Branch
from epimesh.diffusion.sampler import Denoise
from epimesh.diffusion.score_guide import NullParts, scaled
from epimesh.photo import Photo
from epimesh.stages.shared.guides import GuideParts, in_network_precision, times_of
from epimesh.stages.zero123.network import GROUPS, PhotoAndPose, predictions

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

    from epimesh.stages.zero123.stage import Zero123


@dataclass(frozen=True, eq=False, kw_only=True)
class Zero123Guide(GuideParts):
    """Zero-1-to-3, Zero123-XL or Stable Zero123.

    Args:
        stage: knows what the network is told.
        unet: the network.
    """

    stage: "Zero123"
    unet: "UNet2DConditionModel"
    joint = False

    def denoiser(self, photo: Photo, cameras: Cameras, guidance: float) -> Denoise:
        """See `ScoreGuide`."""
        with torch.no_grad():
            told = self.stage.told(photo, cameras.resized(self.image_size, self.image_size), self.runtime)
        return scaled(self.of_told(told, Branch()), self.of_told(told, Branch(frozenset(GROUPS))), guidance)

    def of_told(self, told: PhotoAndPose, branch: Branch) -> Denoise:
        """The prediction of one branch of guidance."""

        def predict(x: Tensor, time: int) -> Tensor:
            given = in_network_precision(x, self.runtime)
            return predictions(self.unet, given, times_of(given, time), told, [branch])[0].to(x)

        return predict

    def null_parts(self, photo: Photo, cameras: Cameras) -> NullParts:
        """The token is learned in the place of zeros; the photo's latents stay zero, as without conditions."""
        with torch.no_grad():
            told = self.stage.told(photo, cameras.resized(self.image_size, self.image_size), self.runtime)

        def unconditional(x: Tensor, time: int, tokens: Tensor) -> Tensor:
            nothing = PhotoAndPose(torch.zeros_like(told.channels), tokens.to(told.tokens))
            return self.of_told(nothing, Branch())(x, time)

        return NullParts(
            self.of_told(told, Branch()), unconditional, torch.zeros_like(told.tokens, dtype=torch.float32)
        )
