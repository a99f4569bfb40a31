"""The photo's own view beside the others, the memory of their maps, and which of them run at once."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hero_stages import CPU, PARTS, generator, joint_denoiser, made, of_small, used, with_hero

from epimesh.diffusion.attention_control.controller import PHOTO as PHOTO_ROW
from epimesh.diffusion.attention_control.map_filter import MapFilter
from epimesh.diffusion.attention_control.processor import controlled
from epimesh.diffusion.sampler import Ddim, Pass
from epimesh.diffusion.schedules import NoiseSchedule
from epimesh.errors import BadInput
from epimesh.photo import Photo
from epimesh.runtime import Runtime
from epimesh.stages.shared.prior_guided import pose
from epimesh.stages.shared.zero_to_hero import rows
from epimesh.stages.syncdreamer.denoiser import Conditions, classifier_free
from epimesh.stages.syncdreamer.sampling import JointSampling, map_bytes, same_view
from epimesh.stages.syncdreamer.stage import SyncDreamer
from epimesh.stages.zero123.small_stage import SmallZero123
from epimesh.stages.zero123.stage import Zero123


def test_the_photos_own_view_is_asked_for_without_a_turn_and_with_itself_as_the_guess(
    weights: Path, photo: Photo
) -> None:
    stage = of_small(weights)
    request = stage.request(photo, stage._denoiser.network, CPU)
    own = stage.photo_request(request, photo)
    expected = torch.tensor([[0.0, 0, 1, 0, *[torch.deg2rad(torch.tensor(photo.elevation_deg))] * 2]])
    torch.testing.assert_close(own.pose, expected, atol=1e-6, rtol=0)
    assert torch.equal(own.prior, own.photo)
    torch.testing.assert_close(pose(photo.camera, photo.camera), own.pose)
    assert not replace(stage, prior=None).photo_request(request, photo).prior.any()


def joint_sampling(*parts: str) -> JointSampling:
    """Of a tiny SyncDreamer, told random things."""
    denoiser, hero = joint_denoiser(), used(*parts)  # type: ignore[arg-type]
    view = denoiser.volume.rig.view_vectors(torch.tensor([0.3]))
    known = Conditions(torch.randn(1, 4, 8, 8), torch.randn(1, 3, 1, 16), view)
    own = Conditions(known.channels, torch.randn(1, 1, 1, 16), same_view(view))
    times = hero.timesteps(4, 1000, [901, 801, 601, 1])
    sampler = Ddim(schedule=NoiseSchedule.scaled_linear(), timesteps=times, resampling=hero.repeated)
    return JointSampling(denoiser, known, own, classifier_free(2.0), hero, sampler)


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference, in deviations of what is compared."""
    return float((one - other).abs().max() / one.std())


def test_the_photos_own_view_of_a_joint_generator_depends_on_no_other_view_and_is_no_part_of_its_volume() -> None:
    sampling = joint_sampling("resampling")
    noisy = torch.randn(4, 4, 8, 8)
    others, itself = noisy.clone(), noisy.clone()
    others[:3] += 1
    itself[3] += 1
    with torch.no_grad(), controlled(sampling.denoiser.unet.unet, []) as controller:
        controller.at(Pass(801))
        first, second, third = (sampling._predictor(controller, True)(x, 801) for x in (noisy, others, itself))
        alone = sampling._predictor(controller, False)(noisy[:3], 801)
    # Kernels differ by machine and batch size, so what is untouched is compared by its scale; a leak is far larger.
    assert apart(first[3], second[3]) < 1e-3
    assert apart(first[:3], third[:3]) < 1e-3
    assert apart(first[:3], alone) < 1e-3
    assert apart(first[:3], second[:3]) > 1e-2
    assert apart(first[3], third[3]) > 1e-2


def test_rows_are_branches_then_views_then_the_photos_own() -> None:
    named = rows(range(2), True, ["0", "1"])
    assert [(row.branch, row.view) for row in named] == [
        ("0", 0),
        ("0", 1),
        ("0", PHOTO_ROW),
        ("1", 0),
        ("1", 1),
        ("1", PHOTO_ROW),
    ]


# Memory and batches


@pytest.mark.parametrize("parts", [("filtering", "resampling"), ("filtering", "resampling", "mutual")])
def test_the_bytes_of_maps_that_memory_is_planned_with_are_those_held(parts: tuple[str, ...]) -> None:
    sampling = joint_sampling(*parts)
    photo = "mutual" in parts
    with torch.no_grad(), controlled(sampling.denoiser.unet.unet, sampling.hero.controls) as controller:
        sampling.sampler(sampling._predictor(controller, photo), torch.randn(3 + photo, 4, 8, 8), listen=controller.at)
    planned = map_bytes(sampling.denoiser, sampling.guidance, sampling.hero, 4)
    assert planned == controller.peak_bytes > 0
    assert map_bytes(sampling.denoiser, sampling.guidance, used("mutual"), 4) == 0


def test_a_limit_of_memory_counts_the_maps(weights: Path, photo: Photo) -> None:
    stage = with_hero(generator(weights, "joint"), used("filtering"))
    assert isinstance(stage, SyncDreamer)
    with pytest.raises(BadInput, match="--max-memory"):
        stage(photo, runtime=Runtime("cpu", max_memory_bytes=1_000_000))


@pytest.mark.parametrize("kind", ["small", "published"])
def test_views_made_one_by_one_are_those_made_at_once(weights: Path, photo: Photo, kind: str) -> None:
    precise = used(*PARTS[1:], filtering=MapFilter(half=False))
    hero = with_hero(generator(weights, kind), precise)
    assert isinstance(hero, SmallZero123 | Zero123)
    at_once = replace(hero, batch=16)
    fewer = replace(hero, batch=1 if kind == "published" else 7)
    one, other = made(fewer, photo), made(at_once, photo)
    assert (one - other).norm() < 5e-3 * other.norm()  # untrained networks make much of rounding


@pytest.mark.parametrize("kind", ["small joint", "joint"])
def test_joint_generators_need_all_views_at_once_only_while_attention_is_steered(
    weights: Path, photo: Photo, kind: str
) -> None:
    fewer = replace(generator(weights, kind), batch=2)  # type: ignore[type-var]
    assert made(with_hero(fewer, used("resampling")), photo).isfinite().all()
    for part in ("filtering", "mutual"):
        with pytest.raises(BadInput, match=rf"hero.use is \['{part}'\].*\n?.*only 2 may run together"):
            made(with_hero(fewer, used(part)), photo)  # type: ignore[arg-type]
