"""What half-transparent parts of a picture are: windows in an object, its soft shadow, or haze between two objects."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

_CLEAR = 0.05  # below, nothing is there
_FULL = 0.95
_EDGE = 2  # pixels; thinner half-transparent parts are edges
_DARK, _GREY = 0.3, 0.1  # a shadow's own colour: how bright and how colourful it may be
_DEEPEST_SHADOW = 0.75  # coverage; a dark object that was cut out softly covers more
_LEAST_SHARE = 1e-3  # of the object's area, to be worth a word
_SMALLEST_PIECE = 0.03  # of the largest one's area


class Settled(NamedTuple):
    """Coverage in which half-transparent parts were decided.

    Args:
        alpha: coverage, 0 to 1.
        windows: share of the object's area that is half-transparent and surrounded by object, and is object now.
        shadow: share that is a dark soft shadow beside the object, and is background now.
        glass: share that is half-transparent, not surrounded, and too thin to count as object.
    """

    alpha: Float[Tensor, "H W"]
    windows: float
    shadow: float
    glass: float

    def sentences(self) -> list[str]:
        """What a person should know, a clause each."""
        found = [
            (self.windows, "half-transparent parts that the object surrounds ({:.1%} of it) count as object"),
            (self.shadow, "a soft dark shadow ({:.1%} of the object's area) was taken for background"),
            (self.glass, "half-transparent parts ({:.1%} of the object's area) were taken for background"),
        ]
        return [sentence.format(share) for share, sentence in found if share > _LEAST_SHARE]


def settled(rgb: Float[Tensor, "3 H W"], alpha: Float[Tensor, "H W"]) -> Settled:
    """Decides what half-transparent parts belong to.

    Edges, thinner than a few pixels, stay soft.

    Args:
        rgb: colours, straight (not multiplied by alpha).
        alpha: the picture's transparency, 0 to 1.
    """
    from scipy.ndimage import binary_opening, label

    values = alpha.numpy()
    solid = values > 0.5
    half = binary_opening((values > _CLEAR) & (values < _FULL), iterations=_EDGE)
    area = max(int(solid.sum()), 1)
    if half.sum() < _LEAST_SHARE * area:
        return Settled(alpha, 0.0, 0.0, 0.0)
    result, counts = values.copy(), {"windows": 0, "shadow": 0, "glass": 0}
    windows = _enclosed(values) & (values <= 0.5)
    result[windows] = 1.0
    counts["windows"] = int((windows & half).sum())
    labels, count = label(half & ~windows)
    for piece in range(1, count + 1):
        here = labels == piece
        colour = rgb.numpy()[:, here].mean(axis=1)
        if _is_shadow(colour, values[here]) and _touches_clear(here, values):
            here = _with_its_soft_rim(here, values)
            result[here] = 0.0
            counts["shadow"] += int(here.sum())
        else:
            counts["glass"] += int((here & ~solid).sum())
    return Settled(torch.from_numpy(result), **{name: number / area for name, number in counts.items()})


def separate_pieces(alpha: Float[Tensor, "H W"]) -> int:
    """In how many pieces the object is, small specks left out. Haze (coverage of less than a half) joins nothing."""
    from scipy.ndimage import label

    labels, count = label((alpha > 0.5).numpy(), structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return int((areas >= max(1.0, _SMALLEST_PIECE * areas.max(initial=0))).sum())


def _enclosed(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Parts without full coverage that nowhere become clear: the object surrounds them."""
    from scipy.ndimage import label

    labels, count = label(values <= 0.5, structure=np.ones((3, 3)))
    open_labels = np.unique(labels[values <= _CLEAR])
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    closed = np.setdiff1d(np.arange(1, count + 1), np.union1d(open_labels, border))
    return np.isin(labels, closed)


def _is_shadow(colour: NDArray[np.float32], values: NDArray[np.float32]) -> bool:
    deep = np.quantile(values, 0.95) > _DEEPEST_SHADOW
    return bool(colour.max() < _DARK and colour.max() - colour.min() < _GREY and not deep)


def _touches_clear(piece: NDArray[np.bool_], values: NDArray[np.float32]) -> bool:
    from scipy.ndimage import binary_dilation

    return bool((binary_dilation(piece, iterations=2 * _EDGE) & (values <= _CLEAR)).any())


def _with_its_soft_rim(piece: NDArray[np.bool_], values: NDArray[np.float32]) -> NDArray[np.bool_]:
    from scipy.ndimage import binary_dilation

    return binary_dilation(piece, iterations=2 * _EDGE) & (values < _FULL)
