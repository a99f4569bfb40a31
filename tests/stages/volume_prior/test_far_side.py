"""What the far side of an object has of its photo."""

import torch

from epimesh.photo import Photo
from epimesh.stages.volume_prior.far_side import behind, mirror_symmetry, rim_colors

SIZE = 128


def disc(color_of: "torch.Tensor") -> Photo:
    """A disc whose colours are given."""
    rows, columns = torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij")
    alpha = (torch.hypot(rows - 64, columns - 64) < 44).float()
    return Photo(torch.cat([color_of * alpha, alpha[None]]), 20.0, 49.134)


def face() -> torch.Tensor:
    """Brown, with two dark eyes and a pale muzzle."""
    image = torch.tensor([0.5, 0.3, 0.2])[:, None, None].repeat(1, SIZE, SIZE)
    image[:, 48:56, 42:50] = image[:, 48:56, 78:86] = 0.05
    image[:, 66:86, 54:74] = 0.95
    return image


def test_a_face_is_its_own_mirror_image_and_a_thing_seen_from_the_side_is_not() -> None:
    assert mirror_symmetry(disc(face())) == 1
    sideways = torch.linspace(0.2, 0.9, SIZE).expand(3, SIZE, SIZE)
    assert mirror_symmetry(disc(sideways)) == 0


def test_the_line_of_symmetry_need_not_be_in_the_middle() -> None:
    photo = disc(face())
    assert mirror_symmetry(Photo(photo.rgba.roll(8, 2), 20.0, 49.134)) == 1


def test_the_colours_of_the_outline_go_on_where_the_face_was() -> None:
    brown = torch.tensor([0.5, 0.3, 0.2])
    found = rim_colors(disc(face()))
    inside = disc(face()).rgba[3] > 0.5
    torch.testing.assert_close(found[:, inside], brown[:, None].expand(3, int(inside.sum())), atol=0.02, rtol=0)


def test_what_faces_the_camera_is_not_behind_and_what_faces_away_is() -> None:
    camera = torch.tensor([1.5, 0.0, 0.0])
    points = torch.tensor([[0.3, 0, 0], [-0.3, 0, 0], [0, 0.3, 0.0]])
    found = behind(points, points, camera)
    assert found[0] == 0
    assert found[1] == 1
    assert 0 < found[2] < 1  # seen along its surface
