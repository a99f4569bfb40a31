"""The published Zero-1-to-3 as a stage, its framing of the photo, and its short cut in cross-attention."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from published_folders import TOKEN, noisy_photo, save_zero123

from epimesh.cameras import Cameras
from epimesh.errors import BadInput
from epimesh.photo import Photo
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.runtime import Runtime
from epimesh.stages.shared.attention_kernels import choose_attention
from epimesh.stages.shared.photo_token import PhotoToken, zero123_image
from epimesh.stages.zero123.network import published_timesteps, relative_pose
from epimesh.stages.zero123.stage import Zero123

CPU = Runtime("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "zero123"
    save_zero123(folder)
    return folder


@pytest.fixture(scope="module")
def photo() -> Photo:
    return noisy_photo()


def test_views_do_not_depend_on_how_many_are_made_or_at_once(folder: Path, photo: Photo) -> None:
    stage = Zero123(weights=str(folder), steps=4, views=4, batch=4)
    views = stage(photo, runtime=CPU)
    assert views.latents.shape == (4, 4, 8, 8)
    assert views.latent_space == "sd"
    one_by_one = replace(stage, batch=1)(photo, runtime=CPU)
    torch.testing.assert_close(one_by_one.latents, views.latents, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(replace(stage, guidance=1.0)(photo, runtime=CPU).latents, views.latents)


def test_the_published_sampler_leaves_out_its_noisiest_step() -> None:
    assert published_timesteps(50, skip_noisiest=True) == list(range(961, 0, -20))
    assert published_timesteps(50, skip_noisiest=False) == list(range(981, 0, -20))
    for steps, skip in ((30, True), (0, False), (1, True)):
        with pytest.raises(BadInput, match=f"steps is {steps}"):
            published_timesteps(steps, skip)


def test_the_object_takes_200_of_256_pixels_in_the_middle_of_white() -> None:
    picture = Image.new("RGBA", (500, 500), (0, 0, 0, 0))
    picture.paste((255, 0, 0, 255), (50, 100, 450, 300))
    picture.paste((0, 0, 255, 100), (0, 0, 20, 20))  # less than half covered: not part of the object
    image = zero123_image(picture, 256)
    red = (image[1] < 0).nonzero()
    assert red.amin(dim=0).tolist() == [78, 28]
    assert red.amax(dim=0).tolist() == [177, 227]
    assert torch.equal(image[:, 0, 0], torch.ones(3))
    with pytest.raises(BadInput, match="half covered"):
        zero123_image(Image.new("RGBA", (8, 8), (9, 9, 9, 100)), 256)


def test_stable_zero123_is_told_the_photos_own_angle_where_the_others_are_told_a_distance() -> None:
    ring = Cameras.ring(4, size=8)
    turn = relative_pose(noisy_photo(), ring, "radius")
    assert turn[:, 3].abs().max() < 1e-6
    told = relative_pose(noisy_photo(), ring, "polar")
    assert torch.equal(told[:, :3], turn[:, :3])
    assert told[:, 3].tolist() == pytest.approx([1.2217] * 4, abs=1e-4)  # elevation 20 is 70 degrees from the vertical
    assert ImageTo3D.from_preset("stable-zero123").views.last_pose == "polar"
    assert ImageTo3D.from_preset("zero123-xl").views.last_pose == "radius"


def test_the_stage_tells_the_network_that_angle(folder: Path, photo: Photo) -> None:
    stage = Zero123(weights=str(folder), steps=4, views=2)
    plain, polar = stage(photo, runtime=CPU), replace(stage, last_pose="polar")(photo, runtime=CPU)
    assert not torch.allclose(plain.latents, polar.latents)


def test_attention_to_a_single_token_is_what_diffusers_computes(folder: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").eval()
    x = torch.randn(2, 8, 8, 8)
    for tokens in (torch.randn(2, 1, TOKEN), torch.randn(2, 3, TOKEN)):
        with torch.no_grad():
            expected = unet(x, 7, tokens).sample
            before = unet.attn_processors
            choose_attention(unet, "auto", "cpu")
            torch.testing.assert_close(unet(x, 7, tokens).sample, expected, atol=1e-5, rtol=1e-5)
            unet.set_attn_processor(before)


def test_a_new_token_is_the_embedding_of_the_photo() -> None:
    embedding = torch.randn(3, 16)
    torch.testing.assert_close(PhotoToken(16)(embedding, torch.randn(3, 4))[:, 0], embedding)
