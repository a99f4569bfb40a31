"""Zero-to-Hero's settings: how many evaluations they mean, which views run at once, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hero_stages import (
    DECODER,
    KINDS,
    PARTS,
    Generator,
    generator,
    joint_denoiser,
    save_all,
    save_published,
    small_denoiser,
    used,
    with_hero,
)
from published_folders import noisy_photo
from torch import Tensor, nn

from epimesh.diffusion.attention import PHOTO as PHOTO_ROW
from epimesh.diffusion.controlled_attention import controlled
from epimesh.diffusion.sampler import Ddim, Pass, Resampling
from epimesh.diffusion.schedules import NoiseSchedule, Window
from epimesh.diffusion.zero_to_hero import MapFilter
from epimesh.errors import BadInput
from epimesh.photo import Photo
from epimesh.pipeline.presets import pipeline_from
from epimesh.runtime import Runtime
from epimesh.stages.syncdreamer.denoiser import Conditions, classifier_free
from epimesh.stages.syncdreamer.sampling import JointSampling, map_bytes, same_view
from epimesh.stages.syncdreamer.stage import SyncDreamer
from epimesh.stages.zero123.generator import Zero123
from epimesh.stages.zero123.guessing import pose
from epimesh.stages.zero123.hero import Hourglass, rows
from epimesh.stages.zero123.network import small_scheduler
from epimesh.stages.zero123.published_generator import PublishedZero123

CPU = Runtime("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_all(folder)
    return folder


@pytest.fixture(params=KINDS)
def stage(weights: Path, request: pytest.FixtureRequest) -> Generator:
    return generator(weights, request.param)


@pytest.fixture(scope="module")
def photo() -> Photo:
    return noisy_photo()


def made(stage: Generator, photo: Photo) -> Tensor:
    return stage(photo, runtime=CPU).latents


def batches(unet: nn.Module) -> list[tuple[int, int]]:
    """Time and rows of every evaluation from now on."""
    seen: list[tuple[int, int]] = []
    unet.register_forward_pre_hook(lambda _, given: seen.append((int(given[1].flatten()[0]), len(given[0]))))
    return seen


# What the presets mean


def test_the_papers_preset_takes_26_steps_in_66_evaluations_and_drops_the_photos_view_below_600(
    tmp_path: Path, photo: Photo
) -> None:
    save_published(tmp_path, size=32, heads=1)
    stage = pipeline_from(["--preset=zero123-xl-hero", f"--views.weights={tmp_path}", "--views.views=1"]).views
    assert isinstance(stage, PublishedZero123)
    seen = batches(stage._unet)
    views = made(stage, photo)
    assert views.isfinite().all()
    assert len(seen) == 66
    times = list(dict.fromkeys(time for time, _ in seen))
    assert times == [*range(981, 800, -20), *range(701, 200, -100), *range(181, 0, -20)]
    assert {size for time, size in seen if time >= 600} == {4}  # a view and the photo's own, with guidance
    assert {size for time, size in seen if time < 600} == {2}
    assert not torch.allclose(made(replace(stage, hero=used("hourglass")), photo), views)


def of_small(weights: Path, *overrides: str) -> Zero123:
    """The stage of the preset of the small models, with tiny weights."""
    folders = {"weights": "small", "prior": "prior", "autoencoder": "vae"}
    named = [f"--views.{name}={weights / folder}" for name, folder in folders.items()]
    found = pipeline_from(["--preset=zero123-hero", *named, *overrides]).views
    assert isinstance(found, Zero123)
    return found


def test_the_small_preset_takes_66_evaluations_too_and_every_part_can_be_left_out(weights: Path, photo: Photo) -> None:
    stage = of_small(weights)
    seen = batches(stage._denoiser.network.unet)
    assert made(stage, photo).isfinite().all()
    assert len(seen) == 66
    assert {size for time, size in seen if time >= 600} == {17}
    for parts, evaluations in (("hourglass", 26), ("hourglass,resampling", 66), ("resampling,filtering", 50), ("", 26)):
        fewer = of_small(weights, f"--views.hero.use=[{parts}]")
        seen = batches(fewer._denoiser.network.unet)
        made(fewer, photo)
        assert (len(seen), {size for _, size in seen}) == (evaluations, {16}), parts


def test_steps_are_shared_out_by_density_whatever_their_number() -> None:
    def counts(times: list[int]) -> tuple[int, int, int]:
        early, late = sum(time >= 800 for time in times), sum(time < 200 for time in times)
        return early, len(times) - early - late, late

    for steps, expected in ((26, (10, 6, 10)), (13, (5, 3, 5)), (52, (20, 12, 20)), (3, (1, 1, 1))):
        assert counts(Hourglass().timesteps(steps)) == expected
    assert counts(Hourglass(density=1.0).timesteps(50)) == (10, 30, 10)


# The photo's own view


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


def test_the_photos_own_view_of_a_joint_generator_depends_on_no_other_view_and_is_no_part_of_its_volume() -> None:
    sampling = joint_sampling("resampling")
    noisy = torch.randn(4, 4, 8, 8)
    others, itself = noisy.clone(), noisy.clone()
    others[:3] += 1
    itself[3] += 1
    with torch.no_grad(), controlled(sampling.denoiser.unet.unet, []) as steering:
        steering.at(Pass(801))
        first, second, third = (sampling._predictor(steering, True)(x, 801) for x in (noisy, others, itself))
        alone = sampling._predictor(steering, False)(noisy[:3], 801)
    torch.testing.assert_close(first[3], second[3], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(first[:3], third[:3], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(first[:3], alone, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(first[:3], second[:3], atol=1e-2)
    assert not torch.allclose(first[3], third[3], atol=1e-2)


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
    with torch.no_grad(), controlled(sampling.denoiser.unet.unet, sampling.hero.controls) as steering:
        sampling.sampler(sampling._predictor(steering, photo), torch.randn(3 + photo, 4, 8, 8), listen=steering.at)
    planned = map_bytes(sampling.denoiser, sampling.guidance, sampling.hero, 4)
    assert planned == steering.peak_bytes > 0
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
    assert isinstance(hero, Zero123 | PublishedZero123)
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


def test_a_part_that_would_never_be_at_work_is_refused_at_once(stage: Generator) -> None:
    for hero, name in (
        (used("resampling", resampling=Resampling(window=Window(1000))), "resampling.window is 1000 to 1000"),
        (used("mutual", mutual=replace(DECODER, window=Window(0, 0))), "mutual.window is 0 to 0"),
        (used("filtering", filtering=MapFilter(history_window=Window(2000, 3000))), "filtering.history_window is 2000"),
    ):
        with pytest.raises(BadInput, match=rf"hero.{name}.*no step lies there: the times visited are (801|999)"):
            with_hero(stage, hero)


# What is refused


def test_more_noise_than_the_weights_were_trained_for_is_refused_before_a_step(
    weights: Path, photo: Photo, tmp_path: Path
) -> None:
    small_denoiser(largest_time=700).save(tmp_path, small_scheduler())
    stage = of_small(weights, f"--views.weights={tmp_path}")
    with pytest.raises(BadInput, match=r"up to 700: the first step would be at time 981.*\n?.*start 700 or less"):
        made(stage, photo)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["--views.hero.resampling.passes=0"], "passes .R. is 0; it has to be at least 1"),
        (["--views.hero.mutual.window.t_min=1001"], "t_min is 1001 and t_max 1000"),
        (["--views.hero.filtering.fresh=1.5"], "fresh is 1.5"),
        (["--views.hero.hourglass.density=0"], "density 0"),
        (["--views.hero.hourglass.late_below=900"], "late_below 900 and early_from 800"),
        (["--views.start=700"], "start is 700, but the hourglass is dense from 800 up"),
        (["--views.steps=2"], "early is|late is|middle is"),
        (["--views.hero.use=[hourgass]"], "'hourglass', 'resampling', 'filtering', 'mutual'.*hourgass"),
        (["--views.hero.resampling.pases=3"], "pases"),
    ],
)
def test_mistakes_in_the_settings_are_named_at_once(weights: Path, overrides: list[str], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        of_small(weights, *overrides)


def test_the_published_samplers_own_habits_do_not_mix_with_the_hourglass() -> None:
    with pytest.raises(BadInput, match="skip_noisiest is on, but the hourglass"):
        PublishedZero123(hero=used("hourglass"), steps=26)
    with pytest.raises(BadInput, match="steps is 26"):
        PublishedZero123(hero=used("filtering"), steps=26)
    with pytest.raises(BadInput, match=r"compile is on, but hero.use is \['filtering'\]"):
        SyncDreamer(hero=used("filtering"), compile=True)
    assert SyncDreamer(hero=used("hourglass"), steps=26, compile=True).steps == 26
