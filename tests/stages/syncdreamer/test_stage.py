"""The stage as a pipeline runs it, on a folder as `epimesh convert` makes it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from published_folders import noisy_photo, save_shared_parts
from tiny import VIEWS, tiny_denoiser

from epimesh.errors import BadInput, BadWeights, MissingExtra, WeightsNotFound
from epimesh.photo import Photo
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.runtime import Runtime
from epimesh.stages.syncdreamer.stage import SyncDreamer
from epimesh.views import LatentViews

CPU = Runtime("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "syncdreamer"
    denoiser = tiny_denoiser()
    denoiser.unet.save_pretrained(folder / "unet")
    denoiser.volume.save_pretrained(folder / "volume")
    save_shared_parts(folder)
    return folder


@pytest.fixture(scope="module")
def photo() -> Photo:
    return noisy_photo()


@pytest.fixture
def stage(folder: Path) -> SyncDreamer:
    return SyncDreamer(weights=str(folder), steps=2)


def made(stage: SyncDreamer, photo: Photo, seed: int = 0) -> LatentViews:
    return stage(photo, runtime=Runtime("cpu", seed))


def test_the_views_are_the_ring_and_their_latents_are_for_the_sd_decoder(stage: SyncDreamer, photo: Photo) -> None:
    views = made(stage, photo)
    assert views.latents.shape == (VIEWS, 4, 8, 8)
    assert views.latent_space == "sd"
    azimuth, elevation = views.cameras.azimuth_elevation_deg()
    torch.testing.assert_close(azimuth, torch.tensor([0.0, 90.0, 180.0, 270.0]), atol=1e-3, rtol=0)
    torch.testing.assert_close(elevation, torch.full((4,), 30.0), atol=1e-3, rtol=0)
    assert views.cameras.width == 64


def test_the_same_seed_gives_the_same_views_and_another_other_ones(stage: SyncDreamer, photo: Photo) -> None:
    assert torch.equal(made(stage, photo).latents, made(stage, photo).latents)
    assert not torch.allclose(made(stage, photo, seed=1).latents, made(stage, photo).latents)


def test_the_photo_its_elevation_and_guidance_matter_and_the_batch_does_not(stage: SyncDreamer, photo: Photo) -> None:
    plain = made(stage, photo).latents
    assert not torch.allclose(made(stage, replace(photo, elevation_deg=-5.0)).latents, plain)
    assert not torch.allclose(made(stage, replace(photo, rgba=photo.rgba.flip(2))).latents, plain)
    assert not torch.allclose(made(replace(stage, guidance=1.0), photo).latents, plain)
    harmony = replace(stage, guidance=1.0, photo_guidance=2.0, volume_guidance=1.0)
    assert not torch.allclose(made(harmony, photo).latents, plain)
    torch.testing.assert_close(made(replace(stage, batch=4), photo).latents, plain, atol=1e-3, rtol=1e-3)


def test_the_preset_of_harmony_view_has_the_numbers_that_made_its_table() -> None:
    views = ImageTo3D.from_preset("harmonyview").views
    assert isinstance(views, SyncDreamer)
    found = (views.guidance, views.photo_guidance, views.volume_guidance, views.channels_gain)
    assert found == (1.0, 2.0, 1.0, 4.0)  # the last one from the public code, which the paper leaves out


def test_settings_that_make_no_sense_are_refused_at_once(stage: SyncDreamer, photo: Photo) -> None:
    with pytest.raises(BadInput, match="steps is 30"):
        replace(stage, steps=30)
    with pytest.raises(BadInput, match="crop is 65"):
        made(replace(stage, crop=260), photo)
    empty = replace(photo, rgba=photo.rgba * torch.tensor([1.0, 1, 1, 0])[:, None, None])
    with pytest.raises(BadInput, match="entirely transparent"):
        made(stage, empty)


def test_xformers_is_used_only_where_it_can_run_and_otherwise_explained(stage: SyncDreamer, photo: Photo) -> None:
    with pytest.raises((MissingExtra, BadInput), match=r"attention is 'xformers'.*\n?.*--views.attention auto"):
        made(replace(stage, attention="xformers"), photo)


def test_weights_that_are_not_there_are_explained(
    photo: Photo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EPIMESH_WEIGHTS", str(tmp_path))
    command = f"epimesh convert syncdreamer syncdreamer-pretrain.ckpt {tmp_path / 'syncdreamer'}"
    with pytest.raises(WeightsNotFound) as told:
        made(SyncDreamer(), photo)
    for part in ("about 5.6 GB", "MIT", "epimesh weights get syncdreamer", "github.com/liuyuan-pal", command):
        assert part in str(told.value)


def test_damaged_and_mixed_weights_are_refused(folder: Path, photo: Photo, tmp_path: Path) -> None:
    import shutil

    for number, (name, change) in enumerate({"unet": "cut", "photo_token": "gone", "vae": "other"}.items()):
        broken = tmp_path / str(number)
        shutil.copytree(folder, broken)
        if change == "cut":
            file = broken / name / "diffusion_pytorch_model.safetensors"
            file.write_bytes(file.read_bytes()[:-100])
        elif change == "gone":
            shutil.rmtree(broken / name)
        else:
            shutil.rmtree(broken / name)
            shutil.copytree(folder / "volume", broken / name)
        with pytest.raises(BadWeights, match=name):
            made(SyncDreamer(weights=str(broken), steps=1), photo)
