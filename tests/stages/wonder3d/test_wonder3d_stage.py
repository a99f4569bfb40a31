"""Wonder3D as a pipeline runs it: six cameras around the photo, colours, and normals that reach the world."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from published_folders import TOKEN, noisy_photo, save_shared_parts
from safetensors.torch import load_file, save_file

from epimesh.cameras import Cameras
from epimesh.decoders import VaeDecoder
from epimesh.decoders.normals import world_normals
from epimesh.errors import BadInput, BadWeights
from epimesh.photo import Photo
from epimesh.runtime import Runtime
from epimesh.stages.wonder3d import rig
from epimesh.stages.wonder3d.network import cross_domain_unet, load_unet
from epimesh.stages.wonder3d.stage import Wonder3D

CPU = Runtime("cpu")
CONFIG = {
    "_class_name": "UNetMV2DConditionModel",
    "sample_size": 8,
    "in_channels": 8,
    "out_channels": 4,
    "block_out_channels": [32, 64],
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "cross_attention_dim": TOKEN,
    "attention_head_dim": 4,
    "class_embed_type": "projection",
    "projection_class_embeddings_input_dim": 10,
    "down_block_types": ["CrossAttnDownBlockMV2D", "DownBlock2D"],
    "mid_block_type": "UNetMidBlockMV2DCrossAttn",
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlockMV2D"],
    "num_views": 6,
    "cd_attention_mid": True,
    "multiview_attention": True,
    "cd_attention_last": False,
    "sparse_mv_attention": False,
    "mvcd_attention": False,
}


def save_unet(folder: Path, **changes: object) -> None:
    torch.manual_seed(2)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    save_file(cross_domain_unet(CONFIG).state_dict(), folder / "diffusion_pytorch_model.safetensors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "wonder3d"
    save_shared_parts(folder)
    save_unet(folder / "unet")
    return folder


@pytest.fixture(scope="module")
def photo() -> Photo:
    return noisy_photo()


def test_six_views_in_colour_and_normals_that_depend_on_each_other(folder: Path, photo: Photo) -> None:
    stage = Wonder3D(weights=str(folder), steps=2)
    made = stage(photo, runtime=CPU)
    assert made.latents.shape == (6, 4, 8, 8)
    assert made.normals is not None
    assert made.normals.shape == made.latents.shape
    assert made.cameras.orthographic
    assert torch.equal(stage(photo, runtime=CPU).latents, made.latents)
    for change in ({"guidance": 1.0}, {"eta": 0.0}, {"crop": 160}):
        assert not torch.allclose(replace(stage, **change)(photo, runtime=CPU).latents, made.latents)


def test_decoded_normals_are_unit_vectors_of_the_world_where_the_object_is(folder: Path, photo: Photo) -> None:
    latents = Wonder3D(weights=str(folder), steps=1)(photo, runtime=CPU)
    views = VaeDecoder(weights=str(folder / "vae"), latent_space="sd")(latents, runtime=CPU)
    assert views.normals is not None
    length = views.normals.norm(dim=1, keepdim=True)
    torch.testing.assert_close(length, (views.alpha > 0.5).float(), atol=1e-4, rtol=0)


def test_the_front_camera_is_the_photos_and_the_others_turn_to_its_right(photo: Photo) -> None:
    for elevation in (0.0, 20.0, -35.0):
        cameras = rig.cameras(replace(photo, elevation_deg=elevation), 256, 0.75)
        own = replace(photo, elevation_deg=elevation).camera
        torch.testing.assert_close(cameras.world_to_camera[:1], own.world_to_camera)
        seen = own.world_to_camera[0, :3, :3] @ cameras.centres.T  # x right, y down, z away from the viewer
        place = torch.nn.functional.normalize(seen.T, dim=1)
        half = 0.5**0.5
        expected = [(0, 0, -1), (half, 0, -half), (1, 0, 0), (0, 0, 1), (-1, 0, 0), (-half, 0, -half)]
        torch.testing.assert_close(place, torch.tensor(expected, dtype=torch.float32), atol=1e-5, rtol=0)
    azimuth, _ = rig.cameras(replace(photo, elevation_deg=0.0), 256, 0.75).azimuth_elevation_deg()
    torch.testing.assert_close(azimuth, torch.tensor(rig.AZIMUTHS_DEG), atol=1e-3, rtol=0)


def test_a_view_shows_the_object_as_large_as_the_crop_says(photo: Photo) -> None:
    """The box is 60 of 96 pixels high; at the distance of its middle that is this long."""
    height = 60 / 96 * 2 * 1.5 * float(torch.tan(torch.deg2rad(torch.tensor(photo.fov_deg / 2))))
    level = replace(photo, elevation_deg=0.0)
    ends = torch.tensor([[0.0, 0.0, height / 2], [0.0, 0.0, -height / 2]])
    pixels, _ = rig.cameras(level, 256, 0.75).project(ends)
    torch.testing.assert_close(pixels[1, :, 1] - pixels[0, :, 1], torch.full((6,), 192.0), atol=1e-3, rtol=0)


def test_normals_are_those_of_the_photos_camera_in_every_view() -> None:
    photo = Cameras.on_sphere(torch.zeros(1), torch.tensor([30.0]), size=4)
    truth = torch.nn.functional.normalize(torch.randn(2, 3, 4, 4), dim=1)
    seen = (
        torch.einsum("ij,vjhw->vihw", photo.world_to_camera[0, :3, :3], truth)
        * torch.tensor([1, -1, -1])[:, None, None]
    )
    found = world_normals(seen / 2 + 0.5, torch.ones(2, 1, 4, 4), photo)
    torch.testing.assert_close(found, truth, atol=1e-5, rtol=0)
    facing = world_normals(torch.tensor([0.5, 0.5, 1.0])[None, :, None, None], torch.ones(1, 1, 1, 1), photo)
    torch.testing.assert_close(facing[0, :, 0, 0], -photo.forward[0], atol=1e-6, rtol=0)


def test_another_version_of_the_network_and_wrong_settings_are_refused(folder: Path, tmp_path: Path) -> None:
    for number, change in enumerate(({"cd_attention_mid": False}, {"mvcd_attention": True}, {"num_views": None})):
        save_unet(tmp_path / f"unet{number}", **change)
        with pytest.raises(BadWeights, match=f"has {next(iter(change))}"):
            load_unet(tmp_path / f"unet{number}")
    (folder / "unet" / "config.json").rename(tmp_path / "kept.json")
    (folder / "unet" / "config.json").write_text(json.dumps({**CONFIG, "_class_name": "UNet2DConditionModel"}))
    with pytest.raises(BadWeights, match="holds a UNet2DConditionModel"):
        load_unet(folder / "unet")
    (folder / "unet" / "config.json").write_text((tmp_path / "kept.json").read_text())
    with pytest.raises(BadInput, match="steps is 30"):
        Wonder3D(steps=30)


def test_older_names_of_the_attention_across_domains_are_read(tmp_path: Path) -> None:
    save_unet(tmp_path / "unet")
    file = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = {name.replace("_joint_mid.", "_joint_twice."): tensor for name, tensor in load_file(file).items()}
    save_file(tensors, file)
    load_unet(tmp_path / "unet")
    missing = {name: tensor for name, tensor in tensors.items() if "_joint_" not in name}
    save_file(missing, file)
    with pytest.raises(BadWeights, match="attn_joint_mid"):
        load_unet(tmp_path / "unet")


def test_domains_meet_only_where_they_should() -> None:
    """With attention across domains silent, a change of the colours leaves the normals as they are, bit for bit."""
    torch.manual_seed(0)
    unet = cross_domain_unet(CONFIG).eval().requires_grad_(False)
    x, token, labels = torch.randn(12, 8, 8, 8), torch.randn(12, 1, TOKEN), rig.labels(rig.told())
    changed = x.clone()
    changed[6:] += 1

    def normals(given: torch.Tensor) -> torch.Tensor:
        return unet(given, 500, token, class_labels=labels).sample[:6]

    assert not torch.allclose(normals(x), normals(changed))
    for name, parameter in unet.named_parameters():
        if "attn_joint_mid.to_out" in name:
            parameter.zero_()
    assert torch.equal(normals(x), normals(changed))
