"""Fine edges: a coarse mask follows the picture's own edges, and the colours at soft edges lose their background."""

import torch
from jaxtyping import Float
from torch import Tensor

_EDGE_VARIANCE = 1e-3  # colour variance below which a window counts as flat
_SOLVED_SIDE = 640  # pixels at which the guided filter is solved; it is applied at full resolution


def refined_edges(rgb: Float[Tensor, "3 H W"], mask: Float[Tensor, "H W"], *, coarse_side: int) -> Float[Tensor, "H W"]:
    """`mask` with edges that follow the picture. Away from the edges nothing changes, so holes stay holes.

    Args:
        rgb: the photo.
        mask: from a segmentation that worked on about `coarse_side` pixels.
        coarse_side: longest side, in pixels, of the image that the segmentation saw.

    Source:
        He et al., "Guided Image Filtering" (ECCV 2010), section 3.4 (colour), in its subsampled form
        (arXiv:1505.00996).
    """
    longest = max(rgb.shape[1:])
    step = max(1.0, longest / _SOLVED_SIDE)
    size = [max(1, round(side / step)) for side in mask.shape]
    radius = max(2, round(min(longest, _SOLVED_SIDE) / coarse_side * 2.5))
    guided = _guided(rgb, _resized(rgb, size), _resized(mask[None], size), radius)
    sharp = ((guided - 0.1) / 0.8).clamp(0, 1)
    far = (2 * radius + 1) | 1
    small = _resized(mask[None], size)[None]
    near_object = torch.nn.functional.max_pool2d((small > 0.5).float(), far, 1, far // 2)
    near_background = torch.nn.functional.max_pool2d((small <= 0.5).float(), far, 1, far // 2)
    band = _resized((near_object * near_background)[0], mask.shape)[0]
    return band * sharp + (1 - band) * (mask > 0.5).float()


def _guided(
    rgb: Float[Tensor, "3 H W"], guide: Float[Tensor, "3 h w"], mask: Float[Tensor, "1 h w"], radius: int
) -> Float[Tensor, "H W"]:
    """The linear function of colour that explains the mask best in every window, averaged, at full resolution."""
    mean_rgb, mean_mask = _box(guide, radius), _box(mask, radius)
    products = torch.stack([guide[i] * guide[j] for i in range(3) for j in range(3)])
    means = torch.stack([mean_rgb[i] * mean_rgb[j] for i in range(3) for j in range(3)])
    covariance = (_box(products, radius) - means).reshape(3, 3, -1).permute(2, 0, 1)
    covariance = covariance + _EDGE_VARIANCE * torch.eye(3)
    with_mask = (_box(guide * mask, radius) - mean_rgb * mean_mask).reshape(3, -1).T
    slope = torch.linalg.solve(covariance, with_mask).T.reshape(guide.shape)
    offset = mean_mask - (slope * mean_rgb).sum(0, keepdim=True)
    averaged = _resized(_box(torch.cat([slope, offset]), radius), rgb.shape[1:])
    return (averaged[:3] * rgb).sum(0) + averaged[3]


def foreground_colours(rgb: Float[Tensor, "3 H W"], alpha: Float[Tensor, "H W"]) -> Float[Tensor, "3 H W"]:
    """The object's own colours where `rgb` mixes them with the background: rgb = alpha * object + (1 - alpha) * rest.

    Colours where alpha is 0 continue those of the nearest object pixels, so that filtering later leaks nothing.

    Source:
        Forte, "Approximate Fast Foreground Colour Estimation" (ICIP 2021): two rounds of blur and correction.
    """
    side = max(rgb.shape[1:])
    weight = alpha[None]
    foreground, background = rgb, rgb
    for radius in (max(2, side // 8), max(1, side // 64)):
        mean_foreground = _box(foreground * weight, radius) / _box(weight, radius).clamp_min(1e-5)
        mean_background = _box(background * (1 - weight), radius) / _box(1 - weight, radius).clamp_min(1e-5)
        unexplained = rgb - weight * mean_foreground - (1 - weight) * mean_background
        foreground = (mean_foreground + weight * unexplained).clamp(0, 1)
        background = (mean_background + (1 - weight) * unexplained).clamp(0, 1)
    return filled_outside(torch.where(weight >= 1, rgb, foreground), alpha)


def filled_outside(
    rgb: Float[Tensor, "3 H W"], alpha: Float[Tensor, "H W"], least: float = 0.02
) -> Float[Tensor, "3 H W"]:
    """Every pixel that shows less than `least` of the object takes the colour of the nearest one that shows more."""
    from scipy.ndimage import distance_transform_edt

    empty = (alpha < least).numpy()
    if empty.all() or not empty.any():
        return rgb
    rows, columns = distance_transform_edt(empty, return_distances=False, return_indices=True)
    return rgb[:, torch.from_numpy(rows).long(), torch.from_numpy(columns).long()]


def _box(image: Float[Tensor, "channels h w"], radius: int) -> Float[Tensor, "channels h w"]:
    """Means over windows of 2 radius + 1 pixels, of what lies inside the picture."""
    radius = min(radius, (min(image.shape[1:]) - 1) // 2)
    window = 2 * radius + 1
    rows = torch.nn.functional.avg_pool2d(image[None], (window, 1), 1, (radius, 0), count_include_pad=False)
    return torch.nn.functional.avg_pool2d(rows, (1, window), 1, (0, radius), count_include_pad=False)[0]


def _resized(image: Float[Tensor, "channels h w"], size: "torch.Size | list[int]") -> Tensor:
    return torch.nn.functional.interpolate(image[None], list(size), mode="bilinear", antialias=True)[0]
