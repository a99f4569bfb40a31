"""Views: images with their cameras, on white; choosing, straight colours, pictures, saving."""

from pathlib import Path

import pytest
import torch

from epimesh.cameras import Cameras
from epimesh.views import LatentViews, Views, contact_sheet, to_picture


def views(count: int = 5, size: int = 16) -> Views:
    alpha = torch.rand(count, 1, size, size) * 0.9 + 0.1
    rgb = torch.rand(count, 3, size, size) * alpha + 1 - alpha
    return Views(rgb, alpha, Cameras.ring(count, size=size), depth=torch.rand(count, size, size))


def test_chosen_views_keep_images_cameras_and_depth_together() -> None:
    ring = views()
    for chosen in (3, slice(1, 4), [4, 0]):
        some = ring[chosen]
        rows = [3] if chosen == 3 else torch.arange(5)[chosen].tolist()
        assert len(some) == len(rows)
        assert torch.equal(some.rgb, ring.rgb[rows])
        assert torch.equal(some.cameras.centres, ring.cameras.centres[rows])
        assert some.depth is not None
        assert some.normals is None


def test_straight_colours_put_on_white_again_are_what_they_were() -> None:
    ring = views()
    straight = ring.straight_rgb()
    assert bool((straight >= 0).all() and (straight <= 1).all())
    torch.testing.assert_close(straight * ring.alpha + 1 - ring.alpha, ring.rgb, atol=1e-5, rtol=0)


def test_images_and_cameras_of_different_numbers_are_refused() -> None:
    with pytest.raises(Exception, match="alpha"):
        Views(torch.rand(3, 3, 8, 8), torch.rand(2, 1, 8, 8), Cameras.ring(3, size=8))


def test_they_are_read_back_bit_for_bit_and_shown_on_one_sheet(tmp_path: Path) -> None:
    ring = views()
    ring.save(tmp_path / "views")
    again = Views.load(tmp_path / "views")
    assert torch.equal(again.rgb, ring.rgb)
    assert torch.equal(again.cameras.world_to_camera, ring.cameras.world_to_camera)
    assert ring.preview().size == (4 * 16, 2 * 16)


def test_pictures_round_to_8_bits_and_sheets_fill_up_with_white() -> None:
    assert to_picture(torch.full((3, 1, 1), 0.5)).getpixel((0, 0)) == (128, 128, 128)
    assert to_picture(torch.zeros(1, 2, 2)).mode == "L"
    sheet = contact_sheet(torch.zeros(3, 3, 4, 4), columns=2)
    assert sheet.size == (8, 8)
    assert sheet.getpixel((7, 7)) == (255, 255, 255)


def test_latents_carry_the_photo_and_the_family_that_decodes_them(tmp_path: Path) -> None:
    from epimesh.photo import Photo

    latents = LatentViews(
        torch.randn(2, 4, 2, 2), Cameras.ring(2, size=16), Photo(torch.rand(4, 8, 8), 0.0, 50.0), "sd"
    )
    latents.save(tmp_path / "latents")
    again = LatentViews.load(tmp_path / "latents")
    assert again.latent_space == "sd"
    assert torch.equal(again.photo.rgba, latents.photo.rgba)
    assert len(again) == 2
