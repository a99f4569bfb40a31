"""Running fewer views at once, as a limit of memory asks for, changes no result; what cannot fit is refused."""

from dataclasses import replace

import pytest
import torch
from published_folders import noisy_photo, save_shared_parts
from tiny import SIZE, VIEWS, random_conditions, tiny_denoiser
from torch import Tensor

from epimesh.errors import BadInput
from epimesh.photo import Photo
from epimesh.pipeline.process_memory import held_bytes
from epimesh.runtime import Runtime
from epimesh.stages.syncdreamer.denoiser import JointDenoiser, decomposed
from epimesh.stages.syncdreamer.memory_budget import needed_bytes, views_at_once
from epimesh.stages.syncdreamer.stage import SyncDreamer
from epimesh.stages.syncdreamer.unet import DepthUNet
from epimesh.stages.syncdreamer.volume import SpatialVolume

GUIDANCE = decomposed(0.5, 2.0, 1.0)  # all four branches


@pytest.fixture(scope="module")
def denoiser() -> JointDenoiser:
    return tiny_denoiser()


@pytest.fixture(scope="module")
def stage(denoiser: JointDenoiser, tmp_path_factory: pytest.TempPathFactory) -> SyncDreamer:
    folder = tmp_path_factory.mktemp("weights") / "syncdreamer"
    denoiser.unet.save_pretrained(folder / "unet")
    denoiser.volume.save_pretrained(folder / "volume")
    save_shared_parts(folder)
    return SyncDreamer(weights=str(folder), steps=2)


@pytest.fixture(scope="module")
def photo() -> Photo:
    return noisy_photo()


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_fewer_views_at_once_give_the_same_to_a_hundred_thousandth(denoiser: JointDenoiser, batch: int) -> None:
    noisy, times = torch.randn(2, VIEWS, 4, SIZE, SIZE), torch.tensor([500, 20])
    conditions = random_conditions(denoiser, 2)
    with torch.no_grad():
        rays, whole = (
            denoiser.rays(noisy, times, conditions.view),
            denoiser(noisy, times, conditions, GUIDANCE),
        )
        denoiser.unet.batch = batch
        try:
            for found, expected in zip(denoiser.rays(noisy, times, conditions.view), rays, strict=True):
                assert relative(found, expected) <= 1e-5
            assert relative(denoiser(noisy, times, conditions, GUIDANCE), whole) <= 1e-5
        finally:
            denoiser.unet.batch = 1_000_000


def test_the_stage_makes_the_same_views_one_at_a_time(stage: SyncDreamer, photo: Photo) -> None:
    all_at_once, one_by_one = (
        replace(stage, batch=batch)(photo, runtime=Runtime("cpu")).latents for batch in (None, 1)
    )
    assert relative(one_by_one, all_at_once) <= 1e-5


def test_as_many_views_run_at_once_as_fit_and_all_without_a_limit() -> None:
    with torch.device("meta"):
        published = JointDenoiser(DepthUNet(), SpatialVolume())
    held, needed = 10**9, [needed_bytes(published, 2, views) for views in (1, 2, 3, 4, 6, 8, 16)]
    assert needed == sorted(needed)
    assert needed[0] < needed[-1] < needed_bytes(published, 3, 16)
    assert needed_bytes(published, 2, 16, item_bytes=2) == pytest.approx(needed[-1] / 2)
    assert views_at_once(published, 2, None, held) == 16
    assert views_at_once(published, 2, held + needed[-1], held) == 16
    assert views_at_once(published, 2, held + needed[-1] - 1, held) == 8  # two even chunks
    with pytest.raises(BadInput, match=r"--max-memory is 1\.00 GB, but one view at a time needs 2\."):
        views_at_once(published, 2, held, held)


def test_the_estimate_covers_what_all_views_see_of_the_volume(denoiser: JointDenoiser) -> None:
    conditions = random_conditions(denoiser)
    rays = denoiser.rays(torch.randn(1, VIEWS, 4, SIZE, SIZE), torch.tensor([500]), conditions.view)
    assert needed_bytes(denoiser, 1, 1) > sum(level.nbytes for level in rays)
    assert held_bytes("cpu") > 50e6  # torch alone takes more


def test_a_limit_that_is_too_low_is_refused_before_the_first_step(stage: SyncDreamer, photo: Photo) -> None:
    with pytest.raises(BadInput, match=r"--max-memory is 0\.05 GB.*\n.*guidance 1"):
        stage(photo, runtime=Runtime("cpu", max_memory_bytes=50_000_000))


def test_half_precision_is_close_and_the_result_is_in_single(stage: SyncDreamer, photo: Photo) -> None:
    single, half = (
        replace(stage, steps=1)(photo, runtime=Runtime("cpu", precision=precision)).latents
        for precision in ("fp32", "bf16")
    )
    assert half.dtype == torch.float32
    assert 1e-5 < float((half - single).norm() / single.norm()) < 0.05


def test_compiling_is_refused_where_weights_are_read_layer_by_layer(stage: SyncDreamer, photo: Photo) -> None:
    with pytest.raises(BadInput, match=r"compile is on.*\n.*--views.compile false"):
        replace(stage, compile=True)(photo, runtime=Runtime("cpu"))


@pytest.mark.gpu
@pytest.mark.parametrize("compiled", [False, True])
def test_a_gpu_makes_what_a_cpu_makes_compiled_or_not(stage: SyncDreamer, photo: Photo, compiled: bool) -> None:
    expected = replace(stage, steps=1)(photo, runtime=Runtime("cpu")).latents
    there = Runtime("cuda", precision="fp32", max_memory_bytes=8 * 10**9)
    found = replace(stage, steps=1, compile=compiled)(photo, runtime=there).latents
    assert float((found - expected).norm() / expected.norm()) < 0.02
