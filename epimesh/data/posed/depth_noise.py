"""Errors for depth that is too good: what a decoder meets at inference is a rough reconstruction, not the truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class DepthNoise:
    """Adds errors of a kind to known depth, anew for every view. Unknown depth (infinite) stays unknown.

    Averaged over 8 x 8 pixels, as for the coarsest maps of the decoder, independent errors all but vanish (a deviation
    of .058 becomes .007); a grid of 3 x 3 errors survives, and so do the bends and shifts of a rough surface.

    Args:
        kind: "structured" sums smooth fields, "independent" draws every pixel for itself, "none" changes nothing.
        amplitude: largest error of the coarsest field, or of a pixel, in scene units.
        grids: values per side of the fields, from the coarsest, which are then enlarged to the image.
        fractions: amplitude of every field as a part of `amplitude`; as many as grids.

    Source: Tang et al. (arXiv:2408.14016), structured depth noise. The text's "0.1 = s1 = 3 s2 = 9 s3" is read from the
    coarsest to the finest. Its s4 belongs to none of the three resolutions that the formula names: grids (3, 64, 128,
    256) with fractions (1, 1/3, 1/9, 1/9) would have it.
    """

    kind: Literal["structured", "independent", "none"] = "structured"
    amplitude: float = 0.1
    grids: Sequence[int] = (3, 64, 128)
    fractions: Sequence[float] = (1.0, 1 / 3, 1 / 9)

    def __post_init__(self) -> None:
        if len(self.grids) != len(self.fractions) or self.amplitude < 0:
            raise ValueError(
                f"as many fractions as grids and an amplitude of at least 0 are needed, got grids {self.grids}, "
                f"fractions {self.fractions} and amplitude {self.amplitude}"
            )

    def __call__(self, depth: Float[Tensor, "V H W"], generator: torch.Generator) -> Float[Tensor, "V H W"]:
        """The depth with errors; what they are is decided by the generator alone."""
        if self.kind == "none" or self.amplitude == 0:
            return depth
        if self.kind == "independent":
            return depth + self._field(depth, depth.shape[1:], self.amplitude, generator)
        for grid, fraction in zip(self.grids, self.fractions, strict=True):
            field = self._field(depth, (grid, grid), self.amplitude * fraction, generator)
            size = (depth.shape[1], depth.shape[2])
            depth = depth + torch.nn.functional.interpolate(field[:, None], size, mode="bilinear")[:, 0]
        return depth

    def _field(
        self, depth: Tensor, size: Sequence[int], amplitude: float, generator: torch.Generator
    ) -> Float[Tensor, "V n m"]:
        uniform = torch.rand(len(depth), *size, generator=generator, device=generator.device)
        return (amplitude * (2 * uniform - 1)).to(depth)
