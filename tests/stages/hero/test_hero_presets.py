"""What the presets of Zero-to-Hero mean in steps, evaluations and rows, and which settings are refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hero_stages import DECODER, Generator, made, of_small, save_published, small_denoiser, used, with_hero
from torch import nn

from epimesh.diffusion.attention_control.map_filter import MapFilter
from epimesh.diffusion.sampler import Resampling
from epimesh.diffusion.schedules import Window
from epimesh.errors import BadInput
from epimesh.photo import Photo
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.pipeline.parser import pipeline_from
from epimesh.stages.shared.zero_to_hero import Hourglass
from epimesh.stages.syncdreamer.stage import SyncDreamer
from epimesh.stages.zero123.small_network import small_scheduler
from epimesh.stages.zero123.stage import Zero123


def batches(unet: nn.Module) -> list[tuple[int, int]]:
    """Time and rows of every evaluation from now on."""
    seen: list[tuple[int, int]] = []
    unet.register_forward_pre_hook(lambda _, given: seen.append((int(given[1].flatten()[0]), len(given[0]))))
    return seen


def test_the_papers_preset_takes_26_steps_in_66_evaluations_and_drops_the_photos_view_below_600(
    tmp_path: Path, photo: Photo
) -> None:
    save_published(tmp_path, size=32, heads=1)
    stage = pipeline_from(
        ImageTo3D, ["--preset=zero123-xl-hero", f"--views.weights={tmp_path}", "--views.views=1"]
    ).views
    assert isinstance(stage, Zero123)
    seen = batches(stage._unet)
    views = made(stage, photo)
    assert views.isfinite().all()
    assert len(seen) == 66
    times = list(dict.fromkeys(time for time, _ in seen))
    assert times == [*range(981, 800, -20), *range(701, 200, -100), *range(181, 0, -20)]
    assert {size for time, size in seen if time >= 600} == {4}  # a view and the photo's own, with guidance
    assert {size for time, size in seen if time < 600} == {2}
    assert not torch.allclose(made(replace(stage, hero=used("hourglass")), photo), views)


def test_the_small_preset_takes_66_evaluations_too_and_every_part_can_be_left_out(weights: Path, photo: Photo) -> None:
    stage = of_small(weights)
    seen = batches(stage._denoiser.network.unet)
    assert made(stage, photo).isfinite().all()
    assert len(seen) == 66
    assert {size for time, size in seen if time >= 600} == {17}
    for parts, evaluations in (("hourglass", 26), ("resampling", 50)):
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


# What is refused


def test_a_part_that_would_never_be_at_work_is_refused_at_once(stage: Generator) -> None:
    for hero, name in (
        (used("resampling", resampling=Resampling(window=Window(1000))), "resampling.window is 1000 to 1000"),
        (used("mutual", mutual=replace(DECODER, window=Window(0, 0))), "mutual.window is 0 to 0"),
        (used("filtering", filtering=MapFilter(history_window=Window(2000, 3000))), "filtering.history_window is 2000"),
        (
            used("filtering", "resampling", filtering=MapFilter(pool_window=Window(2000, 3000))),
            "filtering.pool_window is 2000",
        ),
    ):
        with pytest.raises(BadInput, match=rf"hero.{name}.*no step lies there: the times visited are (801|999)"):
            with_hero(stage, hero)


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
        Zero123(hero=used("hourglass"), steps=26)
    with pytest.raises(BadInput, match="steps is 26"):
        Zero123(hero=used("filtering"), steps=26)
    with pytest.raises(BadInput, match=r"compile is on, but hero.use is \['filtering'\]"):
        SyncDreamer(hero=used("filtering"), compile=True)
    assert SyncDreamer(hero=used("hourglass"), steps=26, compile=True).steps == 26
