"""What a guessed ring of views says of points in space."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from epimesh.cameras import Cameras
from epimesh.compiled import compiled

EVIDENCE = 6  # numbers that the views say of a point
_HARDLY = 1e-3  # coverage in all views together; less has no colour


def evidence(ring: Float[Tensor, "B V 4 H W"], points: Float[Tensor, "N 3"]) -> Float[Tensor, "B N 6"]:
    """Of all views of a point: the smallest and the third smallest coverage, the mean coverage, the mean colour."""
    pixels, _ = Cameras.ring(ring.shape[1], size=2).project(points.cpu())
    place = (pixels - 1).transpose(0, 1)
    if ring.device.type != "cpu":
        return sampled_evidence(ring, place.to(ring.device))
    found = np.empty((len(ring), len(points), EVIDENCE), np.float32)
    _summarized(np.ascontiguousarray(ring.permute(0, 1, 3, 4, 2).numpy()), place.contiguous().numpy(), found)
    return torch.from_numpy(found)


def sampled_evidence(ring: Float[Tensor, "B V 4 H W"], place: Float[Tensor, "V N 2"]) -> Float[Tensor, "B N 6"]:
    """The same by torch, for places from -1 to 1 in the views; on a CPU it takes three times as long."""
    batch, views = ring.shape[:2]
    seen = functional.grid_sample(ring.flatten(0, 1), place.repeat(batch, 1, 1)[:, :, None], align_corners=False)
    seen = seen[..., 0].unflatten(0, (batch, views))
    alpha = seen[:, :, 3]
    lowest = alpha.topk(3, dim=1, largest=False).values
    rgb = (seen[:, :, :3] * alpha[:, :, None]).sum(1) / (alpha.sum(1)[:, None] + _HARDLY)
    known = [lowest.amin(1)[:, None], lowest.amax(1)[:, None], alpha.mean(1)[:, None], rgb]
    return torch.cat(known, dim=1).transpose(1, 2)


@compiled()
def _summarized(ring, place, found):  # type: ignore[no-untyped-def]
    seen = np.empty(4, np.float32)
    for b in range(len(ring)):
        for n in range(place.shape[1]):
            first, second, third = 9.0, 9.0, 9.0
            red, green, blue, total = 0.0, 0.0, 0.0, 0.0
            for view in range(len(place)):
                _bilinear(ring[b, view], place[view, n, 1], place[view, n, 0], seen)
                alpha = seen[3]
                red, green, blue = red + seen[0] * alpha, green + seen[1] * alpha, blue + seen[2] * alpha
                total += alpha
                if alpha < first:
                    first, second, third = alpha, first, second
                elif alpha < second:
                    second, third = alpha, second
                elif alpha < third:
                    third = alpha
            found[b, n, 0], found[b, n, 1], found[b, n, 2] = first, third, total / len(place)
            weight = 1 / (total + _HARDLY)
            found[b, n, 3], found[b, n, 4], found[b, n, 5] = red * weight, green * weight, blue * weight


@compiled()
def _bilinear(image, row, column, value):  # type: ignore[no-untyped-def]
    """The image's channels at a place from -1 to 1; nothing beyond its border."""
    height, width = image.shape[:2]
    y, x = (row + 1) / 2 * height - 0.5, (column + 1) / 2 * width - 0.5
    top, left = int(np.floor(y)), int(np.floor(x))
    value[:] = 0
    for i in range(top, top + 2):
        for j in range(left, left + 2):
            if 0 <= i < height and 0 <= j < width:
                share = (1 - abs(y - i)) * (1 - abs(x - j))
                for channel in range(4):
                    value[channel] += share * image[i, j, channel]
