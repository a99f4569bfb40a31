"""Six views with depth, normals and cameras are right, complete, resumable, and honest about failures."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from epimesh.cameras import Cameras
from epimesh.cli.render import main
from epimesh.data.objects import load_object
from epimesh.data.packs.six_views import AZIMUTHS_DEG, six_view_cameras
from epimesh.data.posed.posed_views import read_posed_views
from epimesh.decoders.epipolar.depth_guided import check_ring
from epimesh.errors import BadInput, MissingExtra
from epimesh.mesh import Mesh
from epimesh.rendering.blender import blender_is_installed, blender_rgba
from epimesh.rendering.ray_casting import UNLIT, Light, render_mesh
from epimesh.rendering.two_sided import render_two_sided
from epimesh.views import Views

COLUMNS = "id,file,split,hard,licence,attribution,family,realistic"
SIZE = "32"


def ball(subdivisions: int = 3) -> Mesh:
    """A grey ball of diameter 1 with outward triangles."""
    shape = trimesh.creation.icosphere(subdivisions=subdivisions, radius=0.5)
    return Mesh(torch.from_numpy(np.array(shape.vertices)).float(), torch.from_numpy(np.array(shape.faces)).long())


@pytest.fixture
def bricks(tmp_path: Path) -> Path:
    """Two bricks, long in y, and a file that was cut off."""
    folder = tmp_path / "objects"
    folder.mkdir()
    whole = trimesh.creation.box(extents=(0.5, 1.0, 0.25)).export(file_type="glb")
    for name in ("brick_a", "brick_b", "brick_c"):
        (folder / f"{name}.glb").write_bytes(whole)
    (folder / "broken.glb").write_bytes(whole[: len(whole) // 2])
    rows = [f'{name},{name}.glb,{split},0,CC-BY-4.0,"Ann, 2020",{name},0' for name, split in SPLITS.items()]
    (folder / "manifest.csv").write_text("\n".join([COLUMNS, *rows]) + "\n")
    return folder


SPLITS = {"brick_a": "train", "broken": "train", "brick_b": "train", "brick_c": "val"}


def render(objects: Path, out: Path, *more: str) -> int:
    return main([str(objects), str(out), "--views", "six", "--size", SIZE, "--processes", "1", *more])


def views_of(folder: Path) -> Views:
    return read_posed_views(folder, geometry=True)


def test_the_views_go_once_round_the_object_at_its_own_height() -> None:
    for projection in ("orthographic", "perspective"):
        cameras = six_view_cameras(64, projection)
        azimuth, elevation = cameras.azimuth_elevation_deg()
        torch.testing.assert_close(azimuth, torch.tensor(AZIMUTHS_DEG), atol=1e-3, rtol=0)
        torch.testing.assert_close(elevation, torch.zeros(6), atol=1e-3, rtol=0)
        check_ring(cameras)


def test_what_is_right_of_the_front_view_is_nearest_in_the_right_view() -> None:
    """The third view is `right`: the side that lies on the right-hand side of the first image."""
    point = torch.tensor([0.0, 0.4, 0.0])
    pixels, depth = six_view_cameras(64, "orthographic").project(point)
    assert pixels[0, 0] > 40
    assert depth.argmin() == 2


def test_an_orthographic_image_shows_1_35_units_whatever_the_distance() -> None:
    pixels, _ = six_view_cameras(64, "orthographic").project(torch.tensor([[0.3, 0.675, 0.0], [-0.3, -0.675, 0.0]]))
    torch.testing.assert_close(pixels[:, 0, 0], torch.tensor([64.0, 0.0]), atol=1e-4, rtol=0)


def test_a_folder_holds_six_views_with_depth_normals_cameras_and_whom_to_name(bricks: Path, tmp_path: Path) -> None:
    assert render(bricks, tmp_path / "out", "--split", "val") == 0
    views = views_of(tmp_path / "out" / "brick_c")
    assert views.rgb.shape == (6, 3, 32, 32)
    assert views.depth is not None
    assert views.normals is not None
    assert torch.equal(views.depth.isfinite(), views.alpha[:, 0] > 0)
    assert torch.equal(views.normals.norm(dim=1) > 0.5, views.alpha[:, 0] > 0)
    facts = json.loads((tmp_path / "out" / "brick_c" / "object.json").read_text())
    assert (facts["id"], facts["licence"], facts["attribution"]) == ("brick_c", "CC-BY-4.0", "Ann, 2020")
    assert (facts["split"], facts["renderer"], facts["yaw_deg"]) == ("val", "rays", 0.0)


def test_depth_and_normals_are_those_of_the_brick(bricks: Path, tmp_path: Path) -> None:
    """Seen from the front, the near side of a brick 0.5 deep lies at 1.5 - 0.25 and faces +x."""
    render(bricks, tmp_path / "out", "--split", "val")
    views = views_of(tmp_path / "out" / "brick_c")
    assert views.depth is not None
    assert views.normals is not None
    for view, (distance, normal) in {0: (1.25, (1, 0, 0)), 2: (1.0, (0, 1, 0)), 3: (1.25, (-1, 0, 0))}.items():
        known = views.depth[view].isfinite()
        torch.testing.assert_close(
            views.depth[view][known], torch.full((int(known.sum()),), distance), atol=1e-4, rtol=0
        )
        seen = views.normals[view][:, known].T
        torch.testing.assert_close(seen, torch.tensor(normal).float().expand_as(seen), atol=0.01, rtol=0)


@pytest.mark.parametrize("projection", ["orthographic", "perspective"])
def test_points_of_one_view_reappear_at_the_same_depth_in_its_neighbour(
    bricks: Path, tmp_path: Path, projection: str
) -> None:
    """What depth is for: a point seen in two views lies where both say."""
    render(bricks, tmp_path / "out", "--projection", projection)
    views = views_of(tmp_path / "out" / "brick_a")
    assert views.depth is not None
    known = views.depth[0].isfinite()
    points = views.cameras[0].unproject(torch.where(known, views.depth[0], 1.0)[None])[0][known]
    pixels, depth = views.cameras[1].project(points)
    column, row = pixels[:, 0].long().unbind(-1)
    there = views.depth[1][row.clamp(0, 31), column.clamp(0, 31)]
    visible = (there - depth[:, 0]).abs() < 0.03
    assert visible.float().mean() > 0.2
    assert (there[~visible & there.isfinite()] < depth[:, 0][~visible & there.isfinite()] + 0.06).all()  # hidden behind


def test_training_turns_an_object_and_evaluation_leaves_it_as_it_is(bricks: Path, tmp_path: Path) -> None:
    for seed in ("0", "1"):
        render(bricks, tmp_path / f"train{seed}", "--seed", seed, "--count", "1")
        render(bricks, tmp_path / f"val{seed}", "--seed", seed, "--split", "val")
    assert torch.equal(views_of(tmp_path / "val0" / "brick_c").rgb, views_of(tmp_path / "val1" / "brick_c").rgb)
    assert not torch.equal(views_of(tmp_path / "train0" / "brick_a").rgb, views_of(tmp_path / "train1" / "brick_a").rgb)


def test_nothing_is_cut_off_by_the_frame_however_long_the_diagonal(bricks: Path, tmp_path: Path) -> None:
    trimesh.creation.box(extents=(1, 1, 1)).export(bricks / "brick_a.glb")
    render(bricks, tmp_path / "out", "--count", "1", "--projection", "perspective", "--size", "64")
    alpha = views_of(tmp_path / "out" / "brick_a").alpha
    assert not alpha[..., [0, -1], :].any()
    assert not alpha[..., [0, -1]].any()
    assert json.loads((tmp_path / "out" / "brick_a" / "object.json").read_text())["scale"] < 1


def test_a_stopped_run_goes_on_and_broken_objects_are_listed(bricks: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    render(bricks, out, "--count", "1")
    written = (out / "brick_a" / "transforms.json").stat().st_mtime_ns
    assert render(bricks, out) == 0
    assert sorted(path.name for path in out.iterdir()) == ["brick_a", "brick_b", "settings.json", "skipped.txt"]
    assert (out / "brick_a" / "transforms.json").stat().st_mtime_ns == written
    assert (out / "skipped.txt").read_text().startswith("broken\t")


def test_nothing_half_written_is_left_when_writing_fails(
    bricks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("epimesh.files.posed_set.write_normals", full)
    with pytest.raises(OSError, match="No space"):
        render(bricks, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["settings.json"]


def test_a_folder_that_was_begun_with_other_settings_is_refused(bricks: Path, tmp_path: Path) -> None:
    render(bricks, tmp_path / "out")
    with pytest.raises(BadInput, match="projection, seed differ"):
        render(bricks, tmp_path / "out", "--seed", "3", "--projection", "perspective")


@pytest.mark.slow
def test_two_processes_render_the_same_as_one(bricks: Path, tmp_path: Path) -> None:
    for processes in ("1", "2"):
        assert render(bricks, tmp_path / processes, "--processes", processes) == 0
    for name in ("brick_a", "brick_b"):
        for path in (tmp_path / "1" / name).iterdir():
            assert path.read_bytes() == (tmp_path / "2" / name / path.name).read_bytes()


def test_made_up_objects_are_rendered_too(tmp_path: Path) -> None:
    arguments = ["--procedural", "1", str(tmp_path), "--views", "six", "--size", SIZE, "--processes", "1"]
    assert main(arguments) == 0
    assert len(views_of(tmp_path / "procedural_0_000000")) == 6


def test_both_renderers_of_a_closed_mesh_agree() -> None:
    cameras = Cameras.ring(2, size=48)
    ours = render_two_sided(ball(), cameras, light=Light(), supersample=2)
    exact = render_mesh(ball(), cameras, light=Light(), supersample=2, threads=1)
    torch.testing.assert_close(ours.rgb, exact.rgb, atol=1e-5, rtol=0)
    assert torch.equal(ours.alpha, exact.alpha)
    assert ours.depth is not None
    assert exact.depth is not None
    torch.testing.assert_close(ours.depth, exact.depth)


def test_a_mesh_that_is_inside_out_looks_the_same_and_its_normals_face_the_camera() -> None:
    cameras = Cameras.ring(2, size=48)
    outside = render_two_sided(ball(), cameras, light=Light(), supersample=2)
    inside_out = replace(ball(), faces=ball().faces.flip(1))
    again = render_two_sided(inside_out, cameras, light=Light(), supersample=2)
    assert again.normals is not None
    assert outside.normals is not None
    torch.testing.assert_close(again.rgb, outside.rgb, atol=1e-5, rtol=0)
    torch.testing.assert_close(again.normals, outside.normals, atol=1e-5, rtol=0)


@pytest.mark.skipif(blender_is_installed(), reason="Blender is installed")
def test_without_blender_its_renderer_says_how_to_get_it(bricks: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingExtra, match="pip install bpy"):
        render(bricks, tmp_path / "out", "--renderer", "blender")


@pytest.mark.slow
@pytest.mark.skipif(not blender_is_installed(), reason="needs Blender: pip install bpy")
@pytest.mark.parametrize("projection", ["orthographic", "perspective"])
def test_blender_sees_what_rays_see(objects: Path, projection: str) -> None:
    """A textured plank, turned, from all sides: the same silhouettes, and the same colours in even light."""
    path = objects / "glb" / "plank_a.glb"
    turn = torch.tensor([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    cameras = six_view_cameras(64, projection)
    mesh = load_object(path)
    rays = render_two_sided(replace(mesh, vertices=mesh.vertices @ turn.T), cameras, light=UNLIT, supersample=4)
    rgba = blender_rgba(path, turn, cameras, UNLIT)
    assert (rgba[:, 3:] - rays.alpha).abs().mean() < 0.01
    solid = (rgba[:, 3:] > 0.99) & (rays.alpha > 0.99)
    assert ((rgba[:, :3] - rays.rgb).abs().mean(dim=1, keepdim=True)[solid]).mean() < 0.1


def test_renderer_and_projection_are_refused_for_the_ring(bricks: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--views six"):
        main([str(bricks), str(tmp_path / "out"), "--renderer", "blender"])
    with pytest.raises(BadInput, match="made-up"):
        main(["--procedural", "1", str(tmp_path / "out"), "--views", "six", "--renderer", "blender"])
