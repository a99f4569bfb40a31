"""Where the object is in generated views, by the network that cuts out the photo: white alone loses pale objects."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.diffusion.autoencoder import foreground
from epimesh.pipeline.contracts import CoverageFinder
from epimesh.stages.read.saliency import existing, find_model, salient_mask

_COLOURED = 0.05  # whatever is darker than white by more is the object
_PALE = 0.02  # near what the network sees, less will do
_NEAR = 9  # pixels of 256
_KEPT = 0.9  # share of what the network sees that colour finds of objects that are not pale
_LOST = 0.6  # below this share there is too little contrast: what the network sees counts as it is


@dataclass(frozen=True, kw_only=True)
class SalientCoverage(CoverageFinder):
    """Coverage by colour, which is exact at thin parts, and by the network where it is hardly darker than white.

    Measured on 45 renders of test objects (mean IoU with the true coverage): of pale ones colour alone has .75, the
    network alone .94, the lower threshold near what the network sees .96; of others colour has .97, the network .94.

    Args:
        rembg_model: ONNX file of the U^2-Net family; null takes the one that cuts out photos, or colour alone where it
            cannot run.
    """

    rembg_model: Path | None = None
    weights_settings: ClassVar[tuple[str, ...]] = ("rembg_model",)

    def __post_init__(self) -> None:
        # As a setting it counts in the fingerprint: a network that arrives later renews saved views.
        model = find_model() if self.rembg_model is None else existing(self.rembg_model)
        object.__setattr__(self, "rembg_model", model)

    @torch.inference_mode()
    def __call__(self, rgb: Float[Tensor, "V 3 H W"]) -> Float[Tensor, "V 1 H W"]:
        """0 or 1 for every pixel of views on white."""
        if self.rembg_model is None:
            return foreground(rgb)
        return torch.stack([covered(view, salient_mask(view, self.rembg_model)) for view in rgb]).clone()


def covered(rgb: Float[Tensor, "3 H W"], salient: Float[Tensor, "H W"]) -> Float[Tensor, "1 H W"]:
    """Coverage of one view on white, given what a network takes for its object."""
    seen = (salient > 0.5).to(rgb)[None]
    coloured = foreground(rgb[None], _COLOURED)[0]
    kept = float((coloured * seen).sum() / seen.sum().clamp_min(1))
    if kept >= _KEPT or not seen.any():
        return coloured
    if kept < _LOST:
        return torch.maximum(coloured, seen)
    reach = max(3, _NEAR * rgb.shape[-1] // 256) | 1
    near = torch.nn.functional.max_pool2d(seen[None], reach, 1, reach // 2)[0]
    return torch.maximum(coloured, foreground(rgb[None], _PALE)[0] * near)
