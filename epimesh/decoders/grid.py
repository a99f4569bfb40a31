"""Decodes six views that were drawn as one picture, as that picture: its tiles see each other here, too."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh import weights
from epimesh.diffusion.autoencoder import foreground
from epimesh.errors import BadInput, StageMismatch
from epimesh.pipeline.contracts import CoverageFinder, ViewDecoder
from epimesh.runtime import Runtime
from epimesh.views import LatentViews, Views
from epimesh.weights.loading import load_network

_COLUMNS = 2
_SPAN = 0.5 / 0.8  # half the range of the autoencoder's pictures here: there is room beyond white
_GREY = 127 / 255
_CLOSE = 0.06  # how far a colour has to be from the background to be the object


@dataclass(frozen=True, kw_only=True)
class GridDecoder(ViewDecoder):
    """The decoder of Zero123++'s latents.

    Args:
        weights: folder, or `published:zero123plus/vae`, of an AutoencoderKL.
        background: that the views were drawn on; they come out on white.
        coverage: finds the object in views on white; null takes whatever differs from the background, as it has to be
            on grey.
    """

    weights: str = "published:zero123plus/vae"
    background: Literal["grey", "white"] = "grey"
    coverage: CoverageFinder | None = None
    latent_space = "zero123plus"

    def __post_init__(self) -> None:
        if self.background == "grey" and self.coverage is not None:
            raise BadInput("coverage is set, but it is for views on white, and background is 'grey'.\nLeave one out.")

    @cached_property
    def network(self) -> Any:
        """The loaded network."""
        from diffusers import AutoencoderKL

        return load_network(AutoencoderKL, weights.resolve(self.weights)).requires_grad_(False)

    @torch.inference_mode()
    def __call__(self, latents: LatentViews, *, runtime: Runtime) -> Views:
        """Colours and coverage of every view."""
        if latents.latent_space != self.latent_space or len(latents) % _COLUMNS:
            raise StageMismatch(
                f"The latents are {len(latents)} of the family '{latents.latent_space}', but this decodes the six of "
                f"'{self.latent_space}'.\nUse --decode VaeDecoder for others."
            )
        network = self.network.to(runtime.device, runtime.dtype)
        rows = [torch.cat(list(row.split(1)), dim=3) for row in latents.latents.split(_COLUMNS)]
        grid = torch.cat(rows, dim=2).to(runtime.device, runtime.dtype)
        picture = network.decode(grid / network.config.scaling_factor).sample.float().cpu()
        rgb = (picture / _SPAN / 2 + 0.5).clamp(0, 1)
        views = torch.cat([one for row in rgb.chunk(len(rows), dim=2) for one in row.chunk(_COLUMNS, dim=3)]).clone()
        if self.background == "white":
            return Views(rgb=views, alpha=(self.coverage or foreground)(views), cameras=latents.cameras)
        alpha = off_grey(views)
        return Views(rgb=views * alpha + 1 - alpha, alpha=alpha, cameras=latents.cameras)


def off_grey(rgb: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1 H W"]:
    """Coverage of an object on middle grey: 1 where any channel is away from it, and in what that encloses."""
    from scipy.ndimage import binary_fill_holes

    away = (rgb - _GREY).abs().amax(dim=1) > _CLOSE
    filled = [torch.from_numpy(binary_fill_holes(view.numpy())) for view in away]
    return torch.stack(filled)[:, None].to(rgb.dtype)
