"""Depth and normals lie beside the images of posed views, and come back as they were meant."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from epimesh.cameras import Cameras
from epimesh.data.posed.posed_views import read_posed_views
from epimesh.data.posed.source_frame import SourceFrame
from epimesh.errors import BadInput
from epimesh.files.posed_set import DEPTH_STEP, write_transforms
from epimesh.views import Views

SIZE = 48
RADIUS = 0.4


def ball() -> Views:
    """A grey ball with its true depth and normals, found by intersecting every ray with it."""
    cameras = Cameras.on_sphere(torch.tensor([0.0, 80.0, 200.0]), torch.tensor([0.0, 20.0, -40.0]), size=SIZE)
    origins, directions = cameras.rays()
    b, c = (origins * directions).sum(-1), (origins * origins).sum(-1) - RADIUS**2
    inside = b * b - c > 0
    distance = -b - (b * b - c).clamp_min(0).sqrt()
    points = origins + distance[..., None] * directions
    _, depth = cameras.project(points)
    own = torch.stack([depth[view, ..., view] for view in range(3)])
    alpha = inside.float()[:, None]
    return Views(
        rgb=(0.6 * alpha + 1 - alpha).repeat(1, 3, 1, 1),
        alpha=alpha,
        cameras=cameras,
        depth=torch.where(inside, own, torch.inf),
        normals=(points / RADIUS * inside[..., None]).permute(0, 3, 1, 2),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_transforms(ball(), tmp_path / "ball")
    return tmp_path / "ball"


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / "transforms.json").read_text())
    change(content)
    (folder / "transforms.json").write_text(json.dumps(content))


def test_depth_comes_back_to_half_a_step_and_stays_unknown_where_it_was(folder: Path) -> None:
    depth, expected = read_posed_views(folder, geometry=True).depth, ball().depth
    assert depth is not None
    assert expected is not None
    known = expected.isfinite()
    assert torch.equal(depth.isfinite(), known)
    assert 0.2 < known.float().mean() < 0.8
    assert (depth[known] - expected[known]).abs().max() <= 0.51 * DEPTH_STEP


def test_normals_come_back_within_half_a_degree_and_have_unit_length(folder: Path) -> None:
    normals, expected = read_posed_views(folder, geometry=True).normals, ball().normals
    assert normals is not None
    assert expected is not None
    known = expected.norm(dim=1) > 0.5
    assert torch.equal(normals.norm(dim=1) > 0.5, known)
    cosine = (normals * expected).sum(1)[known]
    assert cosine.min() > np.cos(np.deg2rad(0.5))
    torch.testing.assert_close(normals.norm(dim=1)[known], torch.ones_like(cosine))


def test_unprojected_depth_lies_on_the_ball_and_its_normals_point_away_from_the_centre(folder: Path) -> None:
    views = read_posed_views(folder, geometry=True)
    assert views.depth is not None
    assert views.normals is not None
    known = views.depth.isfinite()
    points = views.cameras.unproject(torch.where(known, views.depth, 1.0))[known]
    torch.testing.assert_close(points.norm(dim=-1), torch.full((len(points),), RADIUS), atol=2e-4, rtol=0)
    outwards = (views.normals.permute(0, 2, 3, 1)[known] * points).sum(-1) / RADIUS
    assert outwards.min() > 0.99


def test_by_default_depth_is_left_alone_because_real_captures_have_other_sizes(folder: Path) -> None:
    Image.new("I;16", (7, 5)).save(folder / "000_depth.png")
    views = read_posed_views(folder)
    assert views.depth is None
    assert views.normals is None


def test_reduced_images_pick_depth_and_never_average_it_over_a_silhouette(folder: Path) -> None:
    whole, small = read_posed_views(folder, geometry=True), read_posed_views(folder, geometry=True, longest_side=16)
    assert whole.depth is not None
    assert small.depth is not None
    assert torch.equal(small.depth, whole.depth[:, 1::3, 1::3])


def test_where_no_step_is_stated_depth_is_in_thousandths_as_nerfstudio_has_it(folder: Path) -> None:
    stated = read_posed_views(folder, geometry=True).depth
    edit(folder, lambda content: content.pop("depth_unit_scale_factor"))
    unstated = read_posed_views(folder, geometry=True).depth
    assert stated is not None
    assert unstated is not None
    torch.testing.assert_close(unstated, stated * 10)


def test_depth_follows_the_scale_into_another_frame_and_back(folder: Path) -> None:
    views = read_posed_views(folder, geometry=True)
    away = SourceFrame(scale=4.0, centre=(1.0, 0.0, -2.0)).fitted(views)
    assert away.depth is not None
    assert views.depth is not None
    torch.testing.assert_close(away.depth, views.depth * 4)


def small(folder: Path) -> None:
    Image.new("I;16", (7, 5)).save(folder / "001_depth.png")


def in_8_bits(folder: Path) -> None:
    Image.new("L", (SIZE, SIZE)).save(folder / "001_depth.png")


def cut_off(folder: Path) -> None:
    path = folder / "001_depth.png"
    path.write_bytes(path.read_bytes()[:200])


def without_transparency(folder: Path) -> None:
    Image.new("RGB", (SIZE, SIZE)).save(folder / "001_normal.png")


def gone(folder: Path) -> None:
    (folder / "001_depth.png").unlink()


def partly(folder: Path) -> None:
    edit(folder, lambda content: content["frames"][1].pop("depth_file_path"))


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (small, "7 x 5 pixels, expected 48 x 48"),
        (in_8_bits, "16 bits"),
        (cut_off, "cannot be read"),
        (without_transparency, "expected RGBA"),
        (gone, "001_depth.png cannot be read"),
        (partly, "2 of 3 frames"),
    ],
)
def test_damaged_or_incomplete_depth_is_named(folder: Path, damage: Callable[[Path], None], word: str) -> None:
    damage(folder)
    with pytest.raises(BadInput, match=word) as caught:
        read_posed_views(folder, geometry=True)
    assert len(str(caught.value).splitlines()) == 2


def test_normals_in_the_axes_of_their_camera_are_refused(tmp_path: Path) -> None:
    views = ball()
    assert views.normals is not None
    own = torch.einsum("vij,vjhw->vihw", views.cameras.world_to_camera[:, :3, :3], views.normals)
    write_transforms(replace(views, normals=own), tmp_path)
    with pytest.raises(BadInput, match="look away from the camera"):
        read_posed_views(tmp_path, geometry=True)


@pytest.mark.parametrize("wrong", [7.0, -1.0])
def test_depth_that_16_bits_cannot_hold_is_refused(tmp_path: Path, wrong: float) -> None:
    views = ball()
    assert views.depth is not None
    views.depth[0, 0, 0] = wrong
    with pytest.raises(BadInput, match="16 bits"):
        write_transforms(views, tmp_path / "ball")
    assert not (tmp_path / "ball" / "transforms.json").exists()
