"""How alike two sets of images are. All images in [0, 1], on white, channel first.

LPIPS is part of some published protocols. It needs a trained network that does not ship, so it is not reported.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float
from torch import Tensor

from epimesh.errors import BadInput
from epimesh.views import Views

_SIGMA = 1.5
_SILHOUETTE = 0.5  # alpha above which a pixel belongs to the object


@dataclass(frozen=True)
class ImageScores:
    """The likeness of one image, or the mean over several.

    Args:
        psnr: of the whole image, in dB; the white background flatters small objects.
        object_psnr: of the pixels within the true silhouette, in dB.
        ssim: structural similarity.
        silhouette_iou: of the pixels with alpha above one half.
        sharpness: gradient energy relative to the truth: below 1 is blurred, above 1 is noisy.
    """

    psnr: float
    object_psnr: float
    ssim: float
    silhouette_iou: float
    sharpness: float


def compare_views(predicted: Views, truth: Views) -> list[ImageScores]:
    """Scores of every view.

    Raises:
        BadInput: number or size of the images differ, or a predicted colour is not finite.
    """
    if predicted.rgb.shape != truth.rgb.shape:
        raise BadInput(
            f"The predicted images have the shape {tuple(predicted.rgb.shape)}, the true ones {tuple(truth.rgb.shape)}"
            " (views, channels, height, width).\nCompare the same views at the same size."
        )
    if not predicted.rgb.isfinite().all() or not predicted.alpha.isfinite().all():
        raise BadInput("The predicted images hold values that are not finite.\nExpected colours from 0 to 1.")
    return [
        ImageScores(
            psnr=psnr(predicted.rgb[view], truth.rgb[view]),
            object_psnr=psnr(predicted.rgb[view], truth.rgb[view], truth.alpha[view, 0] > _SILHOUETTE),
            ssim=ssim(predicted.rgb[view], truth.rgb[view]),
            silhouette_iou=silhouette_iou(predicted.alpha[view, 0], truth.alpha[view, 0]),
            sharpness=gradient_energy(predicted.rgb[view]) / max(gradient_energy(truth.rgb[view]), 1e-12),
        )
        for view in range(len(truth))
    ]


def mean_scores(scores: list[ImageScores]) -> ImageScores:
    """The mean of every score over its finite values (an image without the object has no object PSNR)."""
    means = {}
    for field in fields(ImageScores):
        values = [value for value in (getattr(one, field.name) for one in scores) if math.isfinite(value)]
        means[field.name] = sum(values) / len(values) if values else math.nan
    return ImageScores(**means)


def psnr(predicted: Float[Tensor, "C H W"], truth: Float[Tensor, "C H W"], where: Tensor | None = None) -> float:
    """Peak signal-to-noise ratio in dB, at most 100 (equal images); NaN if `where` selects no pixel."""
    error = (predicted.double() - truth.double()).square()
    error = error if where is None else error[:, where]
    return float("nan") if error.numel() == 0 else -10 * math.log10(max(float(error.mean()), 1e-10))


def ssim(predicted: Float[Tensor, "C H W"], truth: Float[Tensor, "C H W"]) -> float:
    """Structural similarity: Gaussian window of 11 pixels and sigma 1.5, the 5 pixels at the border left out.

    The data range is the larger range of the two images, which is what the published numbers of SyncDreamer used.

    Source:
        Wang et al., "Image quality assessment: from error visibility to structural similarity" (2004).
    """
    from skimage.metrics import structural_similarity

    first, second = predicted.double().numpy(), truth.double().numpy()
    return float(
        structural_similarity(
            first,
            second,
            data_range=max(float(np.ptp(first)), float(np.ptp(second)), 1e-6),
            channel_axis=0,
            gaussian_weights=True,
            sigma=_SIGMA,
            use_sample_covariance=False,
        )
    )


def silhouette_iou(predicted: Float[Tensor, "H W"], truth: Float[Tensor, "H W"]) -> float:
    """Pixels in both silhouettes by pixels in either; 1 if both are empty."""
    one, other = predicted > _SILHOUETTE, truth > _SILHOUETTE
    either = int((one | other).sum())
    return int((one & other).sum()) / either if either else 1.0


def gradient_energy(image: Float[Tensor, "C H W"]) -> float:
    """The mean squared difference between neighbouring pixels."""
    down, right = image.double().diff(dim=1), image.double().diff(dim=2)
    return float(down.square().mean() + right.square().mean())
