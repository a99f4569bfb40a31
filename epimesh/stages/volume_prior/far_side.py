"""What the far side of an object may have of its photo.

A photo from the side shows what the far side looks like, too: most things are symmetric, and the network learns when a
place behind has the colour of the pixel before it. A photo that is its own mirror image looks along the plane of
symmetry, and what it shows, such as a face, is not there again behind. There the colours of the outline go on.
"""

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from torch import Tensor

from epimesh.photo import Photo

_PIXELS = 64  # per side of the photo that symmetry is looked for in
_SHIFTS = range(-6, 7)  # of the plane of symmetry from the middle, in halves of a pixel
_ALIKE = (0.5, 0.75)  # correlation of the grey values: from not symmetric to symmetric
_SAME_OUTLINE = (0.75, 0.85)  # intersection over union, likewise
_RIM = (0.012, 0.05)  # band inside the outline whose colours go on, as shares of the photo's side
_REACH = 0.06  # deviation of their going on, likewise
_BEHIND = (0.0, -0.4)  # cosine between the surface and the direction to the camera: from the near to the far side


def mirror_symmetry(photo: Photo) -> float:
    """How surely the photo is its own mirror image, 0 to 1, wherever the vertical line of symmetry is."""
    small = photo.resized(_PIXELS)
    grey, alpha = small.on_white().mean(0).numpy(), small.rgba[3].numpy()
    return max(_likeness(grey, alpha, shift) for shift in _SHIFTS)


def _likeness(grey: NDArray[np.float32], alpha: NDArray[np.float32], shift: int) -> float:
    turned_grey, turned = (np.roll(image[:, ::-1], shift, axis=1) for image in (grey, alpha))
    both = (alpha > 0.95) & (turned > 0.95)  # pixels of the outline are mixed with white
    if both.sum() < 2 or np.ptp(grey[both]) < 1e-3:
        return 0.0
    outline = np.minimum(alpha, turned).sum() / np.maximum(alpha, turned).sum()
    alike = np.corrcoef(grey[both], turned_grey[both])[0, 1]
    return float(np.interp(alike, _ALIKE, (0, 1)) * np.interp(outline, _SAME_OUTLINE, (0, 1)))


def rim_colors(photo: Photo) -> Float[Tensor, "3 S S"]:
    """The colours along the outline, going on into its middle."""
    inside = distance_transform_edt(photo.rgba[3].numpy() > 0.5) / photo.size
    rim = ((inside > _RIM[0]) & (inside < _RIM[1])).astype(np.float32)
    if not rim.any():
        return photo.on_white()
    reach = _REACH * photo.size
    # The wider average holds where the narrow one sees next to nothing of the rim.
    total = np.zeros((3, photo.size, photo.size), np.float32)
    weight = np.full((photo.size, photo.size), 1e-12, np.float32)
    for deviation, share in ((reach, 1.0), (3 * reach, 0.02), (photo.size, 1e-4)):
        spread = [gaussian_filter(image * rim, deviation) for image in photo.on_white().numpy()]
        total += share * np.stack(spread)
        weight += share * gaussian_filter(rim, deviation)
    return torch.from_numpy(total / weight)


def behind(
    points: Float[Tensor, "N 3"], normals: Float[Tensor, "N 3"], camera: Float[Tensor, "3"]
) -> Float[Tensor, "N"]:
    """How surely the camera, whose centre is given, does not see the surface at these points, 0 to 1."""
    towards = torch.nn.functional.normalize(camera - points, dim=1)
    cosine = (torch.nn.functional.normalize(normals, dim=1) * towards).sum(1)
    return ((cosine - _BEHIND[0]) / (_BEHIND[1] - _BEHIND[0])).clamp(0, 1)
