"""Puts an object into the middle of a square frame at a standard size."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Frame:
    """A square piece of a photo, which may reach beyond it.

    Args:
        top: first row; negative above the photo.
        left: first column.
        side: rows and columns.
    """

    top: int
    left: int
    side: int

    @classmethod
    def around(cls, alpha: Float[Tensor, "H W"], fill: float) -> "Frame":
        """Centres the object's bounding box; its longer side takes the share `fill` of the frame."""
        solid = alpha > 0.5
        rows, columns = solid.any(dim=1).nonzero()[:, 0], solid.any(dim=0).nonzero()[:, 0]
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        left, right = int(columns[0]), int(columns[-1]) + 1
        side = max(1, round(max(bottom - top, right - left) / fill))
        return cls(round((top + bottom - side) / 2), round((left + right - side) / 2), side)

    def cut(self, image: Float[Tensor, "channels H W"], size: int, *, beyond: str) -> Float[Tensor, "channels S S"]:
        """This piece of `image` at `size` pixels.

        Args:
            image: the photo, or something as large.
            size: side of the result, in pixels.
            beyond: what lies beyond the photo: "zero", or "edge" for the nearest pixel's value.
        """
        height, width = image.shape[1:]
        rows = torch.arange(self.top, self.top + self.side)
        columns = torch.arange(self.left, self.left + self.side)
        piece = image[:, rows.clamp(0, height - 1)][:, :, columns.clamp(0, width - 1)]
        if beyond == "zero":
            inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
            piece = piece * inside
        mode = "bilinear" if self.side >= size else "bicubic"
        return torch.nn.functional.interpolate(piece[None], (size, size), mode=mode, antialias=True)[0].clamp(0, 1)
