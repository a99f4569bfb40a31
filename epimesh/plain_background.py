"""Tells an object from a background of one colour that surrounds it, to a fraction of a pixel."""

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

_SIMILAR = 0.06  # largest difference of a colour channel within a clean background
_NOISE = 1.5  # times what nearly all of the border differs by: compression leaves more than a camera does
_PLAIN_SHARE = 0.9  # of the border that has to be similar
_BLUR = 2.5  # pixels from the outside within which a pixel may mix object and background
_ROUNDS = 3  # JPEG's rings around an object are several pixels wide


def cut_from_plain_background(rgb: Float[Tensor, "3 H W"]) -> Float[Tensor, "4 H W"] | None:
    """The object's own colours and its coverage; None if the border of the picture is not of one colour.

    Edges lie where half the contrast between object and background is left. Parts of the object that have the colour
    of the background stay object where they are surrounded by it.
    """
    border = torch.cat([rgb[:, 0], rgb[:, -1], rgb[:, :, 0], rgb[:, :, -1]], dim=1)
    colour = border.median(dim=1).values
    away = (border - colour[:, None]).abs().amax(dim=0)
    similar = away[away < 2 * _SIMILAR]
    if len(similar) < _PLAIN_SHARE * len(away):
        return None
    threshold = max(_SIMILAR, _NOISE * float(similar.quantile(0.99)))
    if float((away < threshold).float().mean()) < _PLAIN_SHARE:
        return None
    excess = (rgb - colour[:, None, None]).numpy()
    alpha = torch.from_numpy(_coverage(excess, _not_outside(np.abs(excess).max(axis=0) >= threshold)))
    mixed = ((alpha > 0) & (alpha < 1))[None]
    background = colour[:, None, None]
    own = ((rgb - (1 - alpha) * background) / alpha.clamp_min(0.05)).clamp(0, 1)
    return torch.cat([torch.where(mixed, own, rgb), alpha[None]])


def _not_outside(different: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """All but the background that reaches the border."""
    from scipy.ndimage import label

    labels, _ = label(~different)
    edges = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return ~np.isin(labels, np.unique(edges[edges > 0]))


def _coverage(excess: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """How much of every pixel is object: 1 inside, and at the edge its share of the contrast a little further in.

    Args:
        excess: colours less that of the background, 3 x H x W.
        inside: the object, with all that its blur and the rings of its compression touch.
    """
    for _ in range(_ROUNDS):
        share = _share_of_contrast(excess, inside)
        inside = _not_outside(inside & (share >= 0.5))
    share = _share_of_contrast(excess, _grown(inside))
    return np.where(inside, np.maximum(share, 0.5), np.minimum(share, 0.499) * _grown(inside)).astype(np.float32)


def _grown(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy.ndimage import binary_dilation

    return binary_dilation(inside, np.ones((3, 3)))


def _share_of_contrast(excess: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """1 deep inside; at the rim the contrast with the background, next to that of the nearest pixel deep inside.

    Parts too thin to be deep anywhere are held against the strongest pixel nearby.
    """
    from scipy.ndimage import distance_transform_edt, maximum_filter

    share = np.ones(inside.shape, np.float32)
    if inside.all() or not inside.any():
        return share
    depth = distance_transform_edt(inside)
    strength = np.abs(excess).max(axis=0)
    near = maximum_filter(np.where(inside, strength, 0), 2 * round(_BLUR) + 1)
    rim = inside & (depth <= _BLUR)
    share[rim] = (strength / np.maximum(near, 1e-6))[rim]
    deep = depth > _BLUR
    if deep.any():
        far, (rows, columns) = distance_transform_edt(~deep, return_indices=True)
        inner = excess[:, rows, columns]
        along = (excess * inner).sum(0) / np.maximum((inner * inner).sum(0), 1e-6)
        beside = rim & (far <= 2 * _BLUR)
        share[beside] = along[beside]
    return share.clip(0, 1)
