"""Zero-to-Hero in every generator: neutral is plain, parts reach what they should, and nothing outlives a run."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from hero_stages import DECODER, PARTS, Generator, OtherPhotoView, made, used, with_hero

from epimesh.diffusion.attention_control.controller import Layers
from epimesh.diffusion.attention_control.map_filter import MapFilter
from epimesh.diffusion.sampler import Resampling
from epimesh.diffusion.schedules import Window
from epimesh.errors import BadInput
from epimesh.photo import Photo
from epimesh.runtime import Runtime, Silent

ALL = used(*PARTS[1:])


def no_scores(*_: object) -> None:
    raise AssertionError("attention was computed with its scores in the open")


def test_neutral_settings_are_bitwise_the_plain_sampler_with_fused_attention(
    stage: Generator, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "_explicit", no_scores)
    neutral = used(
        "resampling", "filtering", resampling=Resampling(passes=1), filtering=MapFilter(pool="none", fresh=1.0)
    )
    plain = made(stage, photo)
    assert torch.equal(made(with_hero(stage, neutral), photo), plain)
    assert torch.equal(made(with_hero(stage, used()), photo), plain)
    with pytest.raises(AssertionError, match="in the open"):
        made(with_hero(stage, used("filtering")), photo)


def test_every_part_alone_changes_every_view(stage: Generator, photo: Photo) -> None:
    plain = made(stage, photo)
    for part in PARTS:
        found = made(replace(stage, hero=used(part), steps=6 if part == "hourglass" else 5), photo)  # type: ignore[type-var]
        assert found.isfinite().all()
        assert ((found - plain).abs().amax(dim=(1, 2, 3)) > 1e-4).all(), part


def test_a_photo_after_another_gives_what_it_gives_alone(stage: Generator, photo: Photo) -> None:
    hero, other = with_hero(stage, ALL), replace(photo, rgba=photo.rgba.flip(2), elevation_deg=-5.0)
    alone = made(with_hero(stage, ALL), other)
    assert not torch.allclose(made(hero, photo), alone)
    assert torch.equal(made(hero, other), alone)


class StopsEarly(Silent):
    """Is interrupted before the second step."""

    def track(self, items: object, description: str, total: int) -> Iterator[object]:  # type: ignore[override]
        for number, item in enumerate(items):  # type: ignore[arg-type, var-annotated]
            if number == 1:
                raise KeyboardInterrupt
            yield item


def test_an_interrupted_run_leaves_nothing_behind(stage: Generator, photo: Photo) -> None:
    hero = with_hero(stage, ALL)
    expected = made(hero, photo)
    with pytest.raises(KeyboardInterrupt):
        made(hero, photo, Runtime("cpu", reporter=StopsEarly()))
    assert torch.equal(made(hero, photo), expected)


def test_the_photos_own_view_reaches_every_view_with_mutual_attention_and_none_without(
    stage: Generator, photo: Photo
) -> None:
    alone = with_hero(stage, used("resampling", "filtering"))
    assert torch.equal(made(alone, photo), made(alone, photo, OtherPhotoView("cpu")))
    mutual = replace(stage, eta=0.0, hero=used("mutual"))  # type: ignore[type-var]
    change = made(mutual, photo) - made(mutual, photo, OtherPhotoView("cpu"))
    assert (change.abs().amax(dim=(1, 2, 3)) > 1e-5).all()


def test_the_photos_own_view_can_stay_to_the_end(stage: Generator, photo: Photo) -> None:
    late = used("mutual", mutual=replace(DECODER, window=Window(0)))
    found = made(with_hero(stage, late), photo)
    assert found.isfinite().all()
    assert not torch.allclose(found, made(with_hero(stage, used("mutual")), photo), atol=1e-4)


def test_layers_that_the_model_has_not_are_refused_with_those_that_it_has(stage: Generator, photo: Photo) -> None:
    unknown = used("filtering", filtering=MapFilter(layers=Layers(inside=("upstairs",))))
    with pytest.raises(BadInput, match=r"MapFilter: layers.inside asks for 'upstairs'.*\n?.*up_blocks"):
        made(with_hero(stage, unknown), photo)
    missing = used("mutual", mutual=replace(DECODER, layers=Layers(resolutions=(7,))))
    with pytest.raises(BadInput, match=r"MutualSelfAttention has no layer to work in: .*resolution 8"):
        made(with_hero(stage, missing), photo)
