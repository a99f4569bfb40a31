"""Looks at a mask as a person would: is there an object, is it whole, is it one, is it the right way round?"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from epimesh.coverage import separate_pieces
from epimesh.errors import BadInput

_SMALLEST_PIECE = 0.03  # of the largest piece's area; what is smaller is a speck and is removed
_TINY = 0.01
_NEARLY_ALL = 0.95
_TOUCHING = 0.02  # share of a border that has to be covered


@dataclass(frozen=True)
class MaskReport:
    """What was found.

    Args:
        coverage: share of the photo that the object covers, specks left out.
        touched: borders of the photo that cut the object.
        pieces: how many separate pieces are kept.
        specks: how many were removed, and the share of the mask that they made up.
        speck_share: see `specks`.
        inverted: True if the mask covers nearly the whole border but not the middle.
    """

    coverage: float
    touched: tuple[str, ...]
    pieces: int
    specks: int
    speck_share: float
    inverted: bool

    def warnings(self) -> list[str]:
        """What the person should know, a sentence each; empty if all is well."""
        checks = [
            (
                self.inverted,
                "the mask covers the borders of the photo but not its middle: it looks inverted (black is "
                "background, white is object)",
            ),
            (
                self.coverage > _NEARLY_ALL,
                f"the object covers {self.coverage:.0%} of the photo: the background was probably not removed; "
                "give a mask with --mask",
            ),
            (
                self.coverage < _TINY,
                f"the object covers only {self.coverage:.2%} of the photo: crop the photo closer for more detail",
            ),
            (
                bool(self.touched),
                f"the object touches the {' and '.join(self.touched)} border of the photo: what is cut off there "
                "cannot be known",
            ),
            (
                self.pieces > 1,
                f"the object is in {self.pieces} separate pieces; if one of them is not part of it, give a mask with "
                "--mask, or keep only one with --read.pieces largest",
            ),
            (self.speck_share > 1e-3, f"{self.specks} small pieces ({self.speck_share:.1%} of the mask) were left out"),
        ]
        return [sentence for found, sentence in checks if found]


def without_specks(
    alpha: Float[Tensor, "H W"], source: str, *, largest: bool = False
) -> tuple[Float[Tensor, "H W"], MaskReport]:
    """The mask without specks, and what is to be said about it.

    Args:
        alpha: coverage by the object, 0 to 1.
        source: where the mask came from, for the error message.
        largest: leave out all separate pieces but the largest, and the haze between them.

    Raises:
        BadInput: there is no object in it.
    """
    from scipy.ndimage import label

    solid = (alpha > 0.5).numpy()
    if not solid.any():
        raise BadInput(
            f"No object was found in the photo ({source} is empty).\n"
            "Expected one object that stands out from its background: give a mask with --mask FILE (white object on "
            "black), or a picture with a transparent background."
        )
    if largest:
        alpha = alpha * _near_largest(solid)
        solid = (alpha > 0.5).numpy()
    labels, count = label(alpha.numpy() > 0.1, structure=np.ones((3, 3)))
    areas = np.bincount(labels[solid], minlength=count + 1)
    areas[0] = 0
    kept = areas >= max(1, _SMALLEST_PIECE * areas.max())
    cleaned = alpha * torch.from_numpy(kept[labels])
    removed = areas[~kept]
    report = MaskReport(
        coverage=float((cleaned > 0.5).float().mean()),
        touched=_touched(cleaned > 0.5),
        pieces=separate_pieces(cleaned),  # haze joins what is not one
        specks=int((removed > 0).sum()),
        speck_share=float(removed.sum() / areas.sum()),
        inverted=looks_inverted(cleaned > 0.5),
    )
    return cleaned, report


def _near_largest(solid: NDArray[np.bool_]) -> Tensor:
    """1 on the largest piece and its soft edge, 0 elsewhere."""
    from scipy.ndimage import binary_dilation, label

    labels, _ = label(solid, structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    near = binary_dilation(labels == areas.argmax(), np.ones((3, 3)), iterations=3)
    return torch.from_numpy(near & ((labels == 0) | (labels == areas.argmax())))


def _touched(solid: Tensor) -> tuple[str, ...]:
    sides = {"top": solid[0], "bottom": solid[-1], "left": solid[:, 0], "right": solid[:, -1]}
    return tuple(name for name, line in sides.items() if float(line.float().mean()) > _TOUCHING)


def looks_inverted(solid: Tensor) -> bool:
    """True if a mask covers nearly the whole border of its picture, but not the middle."""
    height, width = solid.shape
    border = torch.cat([solid[0], solid[-1], solid[:, 0], solid[:, -1]]).float().mean()
    middle = solid[height // 3 : height - height // 3, width // 3 : width - width // 3].float().mean()
    return bool(border > 0.9 and middle < 0.5)
