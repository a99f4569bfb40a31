"""Tells an object from a background of one colour that surrounds it."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

_SIMILAR = 0.06  # largest difference of a colour channel within the background
_PLAIN_SHARE = 0.9  # of the border that has to be similar


def plain_background_alpha(rgb: Float[Tensor, "3 H W"]) -> Float[Tensor, "H W"] | None:
    """1 on the object and 0 on the background that reaches the border; None if the border is not of one colour.

    Parts of the object that have the colour of the background stay object where they are surrounded by it.
    """
    from scipy.ndimage import label

    border = torch.cat([rgb[:, 0], rgb[:, -1], rgb[:, :, 0], rgb[:, :, -1]], dim=1)
    colour = border.median(dim=1).values[:, None, None]
    if float(((border - colour[:, 0]).abs().amax(dim=0) < _SIMILAR).float().mean()) < _PLAIN_SHARE:
        return None
    labels, _ = label(((rgb - colour).abs().amax(dim=0) < _SIMILAR).numpy())
    edges = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    outside = np.isin(labels, np.unique(edges[edges > 0]))
    return torch.from_numpy(~outside).float()
