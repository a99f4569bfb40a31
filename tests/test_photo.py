"""The photo: straight alpha, a camera at azimuth 0, and no rims when it is made smaller."""

from pathlib import Path

import torch

from epimesh.cameras import FOV_DEG
from epimesh.photo import Photo


def disc(size: int = 64) -> Photo:
    """A red disc; outside of it the colour is a bright green that nobody should ever see."""
    axis = torch.arange(size) - size / 2 + 0.5
    inside = ((axis[:, None] ** 2 + axis[None] ** 2).sqrt() < size / 3).float()
    red, green = torch.tensor([0.8, 0.1, 0.1]), torch.tensor([0.0, 1.0, 0.0])
    rgb = torch.where(inside.bool(), red[:, None, None], green[:, None, None])
    return Photo(torch.cat([rgb, inside[None]]), 20.0, FOV_DEG)


def test_its_camera_stands_at_azimuth_0_and_its_own_elevation() -> None:
    azimuth, elevation = disc().camera.azimuth_elevation_deg()
    assert float(azimuth) % 360 < 1e-3
    assert abs(float(elevation) - 20) < 1e-3
    assert (disc().camera.width, disc().camera.height) == (64, 64)


def test_on_white_shows_the_object_and_nothing_of_what_lies_under_transparent_pixels() -> None:
    picture = disc().on_white()
    assert torch.equal(picture[:, 0, 0], torch.ones(3))
    torch.testing.assert_close(picture[:, 32, 32], torch.tensor([0.8, 0.1, 0.1]))


def test_made_smaller_the_rim_keeps_the_colour_of_the_object() -> None:
    small = disc().resized(20)
    rim = (small.rgba[3] > 0.1) & (small.rgba[3] < 0.9)
    assert int(rim.sum()) > 10
    torch.testing.assert_close(
        small.rgba[:3, rim], torch.tensor([0.8, 0.1, 0.1])[:, None].expand(-1, int(rim.sum())), atol=0.01, rtol=0
    )
    assert (small.elevation_deg, small.fov_deg) == (20.0, FOV_DEG)
    assert disc().resized(64).size == 64


def test_it_is_saved_with_a_transparent_preview_and_read_back(tmp_path: Path) -> None:
    photo = disc()
    photo.save(tmp_path / "photo")
    assert torch.equal(Photo.load(tmp_path / "photo").rgba, photo.rgba)
    assert photo.preview().mode == "RGBA"
    assert (tmp_path / "photo" / "preview.png").is_file()
