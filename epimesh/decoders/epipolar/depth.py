"""Rough depth at every resolution of the decoder. Unknown depth is infinite, as in `Views`."""

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from epimesh.errors import BadInput


def check_depth(depth: Float[Tensor, "V H W"]) -> None:
    """Refuses depth that cannot be camera z: infinite means unknown, everything else has to be in front.

    Raises:
        BadInput: NaN, or not positive.
    """
    wrong = ~(depth > 0)
    if wrong.any():
        view, row, column = (int(index) for index in wrong.nonzero()[0])
        raise BadInput(
            f"Depth is {float(depth[view, row, column])} at view {view}, row {row}, column {column} "
            f"({float(wrong.float().mean()):.1%} of all pixels are NaN or not positive).\n"
            "Expected camera z in scene units, in front of the camera. Use infinity where the depth is not known."
        )


def filled_depth(depth: Float[Tensor, "V H W"], reach_px: int = 8) -> Float[Tensor, "V H W"]:
    """Unknown depth within `reach_px` pixels of the object takes the nearest known one; the rest stays unknown.

    A rough depth may miss the rim of the object, and the decoder's colours there need partners most.
    """
    filled = []
    for view in depth.detach().cpu().numpy():
        known = np.isfinite(view)
        if not known.any():
            filled.append(view)
            continue
        distance, (rows, columns) = distance_transform_edt(~known, return_indices=True)
        filled.append(np.where(distance <= reach_px, view[rows, columns], np.inf).astype(view.dtype))
    return torch.from_numpy(np.stack(filled)).to(depth.device)


def pooled_depth(depth: Float[Tensor, "V H W"], height: int, width: int) -> Float[Tensor, "V h w"]:
    """The mean of the known depths under every pixel of a smaller map; unknown only where none is known.

    A plain mean would invent points between an object and what lies behind its silhouette.

    Raises:
        BadInput: the sizes are no multiples of the map's.
    """
    block = depth.shape[1] // height, depth.shape[2] // width
    if (block[0] * height, block[1] * width) != depth.shape[1:]:
        raise BadInput(
            f"Depth has {depth.shape[1]} x {depth.shape[2]} pixels, and the decoder a map of {height} x {width}.\n"
            "Expected a multiple along each side. Render the depth at the size of the decoded images."
        )
    known = depth.isfinite()
    total = torch.nn.functional.avg_pool2d(torch.where(known, depth, 0.0)[:, None], block)
    share = torch.nn.functional.avg_pool2d(known.to(depth)[:, None], block)
    return torch.where(share > 0, total / share, torch.inf)[:, 0]


def grown_depth(depth: Float[Tensor, "V h w"], steps: int) -> Float[Tensor, "V h w"]:
    """Unknown depth within `steps` pixels of the object takes the mean of its known neighbours, ring after ring.

    As `filled_depth`, but on the device of the depth and many views at once, for training.
    """
    for _ in range(steps):
        known = depth.isfinite()
        values = torch.stack([torch.where(known, depth, 0.0), known.to(depth)], dim=1)
        total, share = torch.nn.functional.avg_pool2d(values, 3, stride=1, padding=1).unbind(1)
        depth = torch.where(known, depth, torch.where(share > 0, total / share.clamp_min(0.1), torch.inf))
    return depth
