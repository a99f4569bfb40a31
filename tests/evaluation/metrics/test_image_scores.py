"""Image scores against scikit-image and against pictures whose likeness is known."""

import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from epimesh.cameras import Cameras
from epimesh.errors import BadInput
from epimesh.evaluation.metrics.images import (
    ImageScores,
    compare_views,
    gradient_energy,
    mean_scores,
    psnr,
    silhouette_iou,
    ssim,
)
from epimesh.views import Views


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth picture, and the same with noise."""
    small = torch.rand(1, 3, 6, 6)
    smooth = torch.nn.functional.interpolate(small, (48, 40), mode="bicubic")[0].clamp(0, 1)
    return smooth, (smooth + 0.1 * torch.randn(3, 48, 40)).clamp(0, 1)


def views(rgb: torch.Tensor, alpha: torch.Tensor) -> Views:
    return Views(rgb=rgb, alpha=alpha, cameras=Cameras.ring(len(rgb), size=rgb.shape[-1]))


def square(left: int, right: int, size: int = 24) -> Views:
    """A grey square on white in every one of two views."""
    alpha = torch.zeros(2, 1, size, size)
    alpha[:, :, 6:18, left:right] = 1
    return views(1 - 0.6 * alpha.expand(-1, 3, -1, -1), alpha)


def test_psnr_is_that_of_scikit_image() -> None:
    truth, noisy = pictures()
    theirs = peak_signal_noise_ratio(truth.numpy(), noisy.numpy(), data_range=1)
    assert psnr(noisy, truth) == pytest.approx(theirs, abs=1e-4)


def test_ssim_is_one_for_equal_pictures_falls_with_noise_and_does_not_see_a_common_change_of_contrast() -> None:
    truth, noisy = pictures()
    assert ssim(truth, truth) == pytest.approx(1)
    assert ssim(noisy, truth) < 0.9
    assert ssim(noisy / 2, truth / 2) == pytest.approx(
        ssim(noisy, truth), abs=1e-6
    )  # the range is that of the pictures


def test_an_error_of_a_tenth_everywhere_is_20_decibels_and_no_error_100() -> None:
    grey = torch.full((3, 8, 8), 0.5)
    assert psnr(grey + 0.1, grey) == pytest.approx(20, abs=1e-4)
    assert psnr(grey, grey) == 100
    assert ssim(torch.full((3, 16, 16), 0.5), torch.full((3, 16, 16), 0.5)) == pytest.approx(1)


def test_the_object_psnr_does_not_see_the_background_and_the_whole_one_does() -> None:
    truth = square(6, 18)
    spoiled = views(truth.rgb.clone(), truth.alpha)
    spoiled.rgb[:, :, :4] = 0
    before, after = compare_views(truth, truth)[0], compare_views(spoiled, truth)[0]
    assert after.object_psnr == before.object_psnr == 100
    assert after.psnr < 10 < before.psnr


def test_silhouettes_that_overlap_by_half_have_an_iou_of_a_third() -> None:
    scores = compare_views(square(12, 24), square(6, 18))
    assert [score.silhouette_iou for score in scores] == pytest.approx([1 / 3, 1 / 3])
    empty = torch.zeros(4, 4)
    assert silhouette_iou(empty, empty) == 1
    assert silhouette_iou(empty, empty + 1) == 0


def test_blur_is_below_and_noise_above_the_sharpness_of_the_truth() -> None:
    truth, noisy = pictures()
    blurred = torch.nn.functional.avg_pool2d(truth, 5, stride=1, padding=2, count_include_pad=False)
    assert gradient_energy(blurred) < gradient_energy(truth) < gradient_energy(noisy)
    assert compare_views(square(6, 18), square(6, 18))[0].sharpness == 1


def test_a_mean_leaves_out_what_is_not_defined() -> None:
    empty = views(torch.ones(2, 3, 24, 24), torch.zeros(2, 1, 24, 24))
    without_object = compare_views(empty, empty)[0]
    with_object = compare_views(square(6, 18), square(6, 18))[0]
    assert mean_scores([without_object, with_object]).object_psnr == 100
    assert mean_scores([ImageScores(10.0, 1.0, 1.0, 1.0, 1.0), ImageScores(20.0, 1.0, 1.0, 1.0, 1.0)]).psnr == 15


def test_images_that_cannot_be_compared_are_refused() -> None:
    truth = square(6, 18)
    with pytest.raises(BadInput, match=r"\(2, 3, 24, 24\), the true ones \(2, 3, 32, 32\)"):
        compare_views(truth, square(6, 18, size=32))
    broken = views(truth.rgb.clone(), truth.alpha)
    broken.rgb[1, 0, 0, 0] = torch.nan
    with pytest.raises(BadInput, match="not finite"):
        compare_views(broken, truth)
