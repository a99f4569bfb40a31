"""Posed views are read as they were meant, moved into the unit frame and back, and refused with advice."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from epimesh.cameras import Cameras
from epimesh.data.posed import posed_views
from epimesh.data.posed.posed_views import read_capture, read_posed_views
from epimesh.data.posed.source_frame import SourceFrame, source_frame_of
from epimesh.errors import BadInput
from epimesh.files.posed_set import camera_entries, write_transforms
from epimesh.reconstruction import MarchingCubes, VisualHull
from epimesh.runtime import Runtime
from epimesh.stages import BakeTexture
from epimesh.views import Views

SIZE = 64
SEMI_AXES = torch.tensor([0.5, 0.3, 0.2])  # of the ellipsoid that is seen, in scene units


def ellipsoid(cameras: Cameras) -> Views:
    """A red ellipsoid seen by `cameras`, drawn by intersecting every ray with it."""
    origins, directions = cameras.rays()
    o, d = origins / SEMI_AXES, directions / SEMI_AXES
    a, b, c = (d * d).sum(-1), (o * d).sum(-1), (o * o).sum(-1) - 1
    alpha = (b * b - a * c > 0).float()[:, None]
    red = torch.tensor([0.8, 0.2, 0.2])[:, None, None]
    return Views(rgb=red * alpha + 1 - alpha, alpha=alpha, cameras=cameras)


def around() -> Cameras:
    """Six cameras on the horizon and six above."""
    azimuth = torch.arange(12) * 60.0
    return Cameras.on_sphere(azimuth, torch.tensor([0.0] * 6 + [45.0] * 6), size=SIZE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_transforms(ellipsoid(around()), tmp_path / "views")
    return tmp_path / "views"


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / "transforms.json").read_text())
    change(content)
    (folder / "transforms.json").write_text(json.dumps(content))


def test_what_was_written_is_read_back(folder: Path) -> None:
    views, expected = read_posed_views(folder), ellipsoid(around())
    torch.testing.assert_close(views.cameras.world_to_camera, expected.cameras.world_to_camera, atol=1e-5, rtol=0)
    torch.testing.assert_close(views.cameras.intrinsics, expected.cameras.intrinsics, atol=1e-4, rtol=0)
    torch.testing.assert_close(views.rgb, expected.rgb, atol=1 / 255, rtol=0)
    assert torch.equal(views.alpha, expected.alpha)


def test_a_camera_that_looks_down_its_minus_z_axis_from_plus_x_is_at_azimuth_0(folder: Path) -> None:
    """Blender's camera: its columns are right, up, backwards. Standing at x = 2 and looking at the origin."""
    pose = [[0, 0, 1, 2.0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    edit(folder, lambda content: content["frames"][0].update(transform_matrix=pose))
    expected = Cameras.on_sphere(torch.zeros(1), torch.zeros(1), size=SIZE, distance=2.0)
    torch.testing.assert_close(read_posed_views(folder).cameras.world_to_camera[:1], expected.world_to_camera)


def test_the_given_renders_stand_on_the_standard_ring(shared: Path) -> None:
    views = read_posed_views(shared / "data" / "gso30" / "alarm")
    ring = Cameras.ring(16, size=256)
    torch.testing.assert_close(views.cameras.world_to_camera, ring.world_to_camera, atol=1e-5, rtol=0)
    assert source_frame_of(views).is_standard()


def test_views_on_white_without_transparency_find_their_object(shared: Path) -> None:
    given = read_posed_views(shared / "data" / "chicken" / "gen")
    truth = read_posed_views(shared / "data" / "chicken" / "gt")
    agree = ((given.alpha > 0.5) & (truth.alpha > 0.5)).sum() / ((given.alpha > 0.5) | (truth.alpha > 0.5)).sum()
    assert agree > 0.9


def test_views_saved_by_a_run_are_read(tmp_path: Path) -> None:
    views = ellipsoid(around())
    views.save(tmp_path / "3-decode")
    assert torch.equal(read_posed_views(tmp_path / "3-decode").rgb, views.rgb)


def test_blenders_field_of_view_and_names_without_suffix_are_understood(folder: Path) -> None:
    focal = read_posed_views(folder).cameras.intrinsics[0, 0, 0]

    def like_blender(content: dict[str, Any]) -> None:
        content.update(camera_angle_x=2 * math.atan(SIZE / 2 / float(focal)))
        for frame in content["frames"]:
            frame["file_path"] = "./" + frame["file_path"].removesuffix(".png")
            for key in ("fl_x", "fl_y", "cx", "cy"):
                del frame[key]

    edit(folder, like_blender)
    torch.testing.assert_close(
        read_posed_views(folder).cameras.intrinsics[3], ellipsoid(around()).cameras.intrinsics[3]
    )


def test_masks_beside_the_images_are_used(folder: Path) -> None:
    def with_masks(content: dict[str, Any]) -> None:
        for frame in content["frames"]:
            image = Image.open(folder / frame["file_path"])
            image.getchannel("A").save(folder / f"mask_{frame['file_path']}")
            Image.effect_noise(image.size, 90).convert("RGB").save(folder / frame["file_path"])
            frame["mask_path"] = f"mask_{frame['file_path']}"

    edit(folder, with_masks)
    assert torch.equal(read_posed_views(folder).alpha, ellipsoid(around()).alpha)


def test_large_images_are_reduced_together_with_their_cameras(folder: Path) -> None:
    small = read_posed_views(folder, longest_side=32)
    assert small.rgb.shape[-2:] == (32, 32)
    torch.testing.assert_close(small.cameras.intrinsics, around().resized(32, 32).intrinsics)


MEASURE_READING = """
import sys; from pathlib import Path
from epimesh.data.posed.posed_views import read_posed_views
from epimesh.pipeline.process_memory import held_bytes, peak_bytes, reset_peak
read_posed_views(Path(sys.argv[1]))  # loads what reading needs
reset_peak(); held = held_bytes("cpu")
views = read_posed_views(Path(sys.argv[2]))
print((peak_bytes() - held) / (4 * (views.rgb.numel() + views.alpha.numel())))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of a stretch of time")
def test_reading_takes_less_than_three_times_the_memory_of_what_was_read(tmp_path: Path) -> None:
    folders = [str(tmp_path / "few"), str(tmp_path / "many")]
    for folder, size in zip(folders, (SIZE, 512), strict=True):
        write_transforms(ellipsoid(Cameras.ring(12, size=size)), Path(folder))
    # In a process of its own: in this one it would be given what others have freed, and seem to take less.
    command = [sys.executable, "-c", MEASURE_READING, *folders]
    assert float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) < 3  # 2.4


@pytest.mark.slow
def test_a_hundred_views_of_800_pixels_become_a_mesh_in_two_and_a_half_gigabytes(tmp_path: Path) -> None:
    azimuth = torch.arange(100) * 137.5 % 360
    cameras = Cameras.on_sphere(azimuth, torch.linspace(-20, 60, 100), size=800)
    every = [ellipsoid(cameras[view]) for view in range(100)]
    joined = Views(torch.cat([one.rgb for one in every]), torch.cat([one.alpha for one in every]), cameras)
    del every
    write_transforms(joined, tmp_path / "hundred")
    command = [sys.executable, "-m", "epimesh", "reconstruct", "hundred", "--json"]
    said = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    report = json.loads(said)
    assert report["shown_share"] > 0.95
    sys.stdout.write(f"{report['peak_bytes'] / 1e9:.2f} GB in {report['seconds']} s: {report['stages']}\n")
    assert report["peak_bytes"] < 2.5e9


def test_more_pixels_than_a_laptop_holds_easily_are_kept_in_half_precision_and_make_the_same_mesh(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = read_capture(folder, compact=True).views
    monkeypatch.setattr(posed_views, "_MANY_PIXELS", 1000)
    rough = read_capture(folder, compact=True).views
    assert fine.rgb.dtype == fine.alpha.dtype == read_capture(folder).views.rgb.dtype == torch.float32
    assert rough.rgb.dtype == rough.alpha.dtype == torch.half
    torch.testing.assert_close(rough.rgb.float(), fine.rgb, atol=1 / 255 / 8, rtol=0)
    frame = source_frame_of(rough)
    assert frame == source_frame_of(fine)
    surfaces = [VisualHull(resolution=32)(frame.fitted(views), None, runtime=Runtime("cpu")) for views in (rough, fine)]
    torch.testing.assert_close(surfaces[0].distances, surfaces[1].distances, atol=1e-3, rtol=0)
    mesh = MarchingCubes(resolution=32)(surfaces[1], runtime=Runtime("cpu"))
    painted = [
        BakeTexture(size=64)(mesh, frame.fitted(views), None, runtime=Runtime("cpu")).texture for views in (rough, fine)
    ]
    torch.testing.assert_close(painted[0], painted[1], atol=2 / 255, rtol=0)


@pytest.mark.parametrize("scale", [0.01, 1.0, 40.0])
def test_an_object_of_any_size_and_place_is_brought_into_the_unit_frame(scale: float) -> None:
    """Moved away and back: the frame is found from silhouettes alone, to a fraction of the carved grid."""
    here = ellipsoid(around())
    away = SourceFrame(scale=scale, centre=(-3.0, 2.0, 0.5)).fitted(here)
    frame = source_frame_of(away)
    assert not frame.is_standard()
    back = frame.fitted(away)
    assert source_frame_of(back).is_standard()
    torch.testing.assert_close(back.cameras.centres, here.cameras.centres, atol=0.12, rtol=0)


def test_points_go_to_the_source_and_back() -> None:
    frame = SourceFrame(scale=0.25, centre=(1.0, -2.0, 3.0))
    points = torch.randn(20, 3)
    torch.testing.assert_close(frame.from_source(frame.to_source(points)), points)
    torch.testing.assert_close(frame.to_source(torch.zeros(1, 3)), torch.tensor([[1.0, -2.0, 3.0]]))


def test_a_fitted_view_shows_the_same_picture() -> None:
    """A point of the source and its image in the unit frame fall on the same pixel."""
    frame = SourceFrame(scale=0.25, centre=(1.0, -2.0, 3.0))
    views = ellipsoid(around())
    points = torch.randn(20, 3) * 0.3
    before, depth = views.cameras.project(points)
    after, scaled_depth = frame.fitted(views).cameras.project(frame.from_source(points))
    torch.testing.assert_close(after, before, atol=1e-2, rtol=1e-4)
    torch.testing.assert_close(scaled_depth, depth * frame.scale, atol=1e-4, rtol=1e-4)


def first(content: dict[str, Any]) -> dict[str, Any]:
    return content["frames"][0]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda content: [frame.update(file_path="gone.png") for frame in content["frames"]], "gone.png"),
        (lambda content: first(content).update(transform_matrix=[[math.nan] * 4] * 4), "finite"),
        (lambda content: first(content).update(transform_matrix=[[1, 2], [3, 4]]), "4 x 4"),
        (
            lambda content: first(content).update(
                transform_matrix=torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0])).tolist()
            ),
            "rotation",
        ),
        (
            lambda content: first(content).update(transform_matrix=torch.diag(torch.full((4,), 2.0)).tolist()),
            "last row",
        ),
        (lambda content: first(content)["transform_matrix"].__setitem__(3, [0, 0, 0, 0]), "last row"),
        (lambda content: first(content).pop("transform_matrix"), "transform_matrix"),
        (lambda content: first(content).update(fl_x=-5), "fl_x"),
        (lambda content: [(frame.pop("fl_x"), frame.pop("fl_y")) for frame in content["frames"]], "focal length"),
        (lambda content: first(content).update(camera_angle_x=3.2), "camera_angle_x"),
        (lambda content: content.update(w=10**400), "OverflowError"),
        (lambda content: first(content).update(file_path="a" * 5000), "name of a file"),
        (lambda content: first(content).update(camera_model="ORTHOPHOTO"), "one kind"),
        (lambda content: content.update(frames=content["frames"][:1]), "epimesh run"),
        (lambda content: content.update(frames=[]), "at least 2"),
        (lambda content: content.pop("frames"), "frames"),
        (lambda content: content.update(w=128), "128 x 64"),
        (lambda content: content.update(k1=math.nan), "not finite"),
        (lambda content: content.update(camera_model="EQUIRECTANGULAR"), "EQUIRECTANGULAR"),
    ],
    ids=[
        "missing image",
        "nan",
        "wrong shape",
        "scaled",
        "last row 2",
        "last row 0",
        "no matrix",
        "negative focal length",
        "no focal length",
        "half a turn",
        "endless integer",
        "endless name",
        "two kinds of cameras",
        "one view",
        "no views",
        "no frames",
        "other size",
        "distortion of nan",
        "unknown camera",
    ],
)
def test_mistakes_in_the_file_are_named(folder: Path, change: Callable[[dict[str, Any]], object], word: str) -> None:
    edit(folder, change)
    with pytest.raises(BadInput, match=word) as caught:
        read_posed_views(folder)
    assert len(str(caught.value).splitlines()) == 2


def test_folders_that_hold_no_views_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no folder"):
        read_posed_views(tmp_path / "nowhere")
    with pytest.raises(BadInput, match=r"no transforms.json"):
        read_posed_views(tmp_path)
    (tmp_path / "transforms.json").write_text("{half")
    with pytest.raises(BadInput, match="cannot be read as cameras"):
        read_posed_views(tmp_path)


def test_a_view_without_the_object_is_named(folder: Path) -> None:
    Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 0)).save(folder / "003.png")
    with pytest.raises(BadInput, match=r"1 of 12 views: 003.png"):
        read_posed_views(folder)


def test_images_of_different_sizes_are_refused_where_focal_lengths_fit_only_one(folder: Path) -> None:
    edit(folder, lambda content: (content.pop("w"), content.pop("h")))
    Image.open(folder / "003.png").resize((32, 32)).save(folder / "003.png")
    with pytest.raises(BadInput, match=r"64 x 64.*003.png 32 x 32"):
        read_posed_views(folder)


def test_a_busy_background_without_masks_is_refused(folder: Path) -> None:
    Image.effect_noise((SIZE, SIZE), 90).convert("RGB").save(folder / "003.png")
    with pytest.raises(BadInput, match="mask_path"):
        read_posed_views(folder)


def test_cameras_that_contradict_their_images_are_refused() -> None:
    views = ellipsoid(around())[:6]
    alpha = views.alpha.clone()  # on the horizon: high in every other image, low in the others
    alpha[::2], alpha[1::2] = alpha[::2].roll(-SIZE // 4, 2), alpha[1::2].roll(SIZE // 4, 2)
    broken = Views(rgb=views.rgb, alpha=alpha, cameras=views.cameras)
    with pytest.raises(BadInput, match="agree on no point"):
        source_frame_of(broken)


@pytest.mark.parametrize("by", [0.2, 0.3, 0.5])
def test_cameras_that_stand_beside_where_their_images_were_taken_are_refused(by: float) -> None:
    """Pushed sideways, they agree on a few crumbs around the middle, which explain little of what the images show."""
    views = ellipsoid(around())
    pushed = views.cameras.world_to_camera.clone()
    pushed[:, 0, 3] -= by
    cameras = Cameras(pushed, views.cameras.intrinsics, SIZE, SIZE)
    with pytest.raises(BadInput, match="of their silhouettes"):
        source_frame_of(Views(rgb=views.rgb, alpha=views.alpha, cameras=cameras))


def test_cameras_that_look_past_the_object_are_welcome_if_their_images_say_so() -> None:
    pushed = around().world_to_camera.clone()
    pushed[:, 0, 3] -= 0.3
    assert source_frame_of(ellipsoid(Cameras(pushed, around().intrinsics, SIZE, SIZE))).is_standard()


def test_cameras_with_opencv_axes_in_the_file_are_found_out(folder: Path) -> None:
    """The commonest mistake: camera-to-world with z forward. The cameras then look away from the object."""

    def with_opencv_axes(content: dict[str, Any]) -> None:
        for frame in content["frames"]:
            frame["transform_matrix"] = [[row[0], -row[1], -row[2], row[3]] for row in frame["transform_matrix"]]

    edit(folder, with_opencv_axes)
    with pytest.raises(BadInput, match="OpenGL"):
        source_frame_of(read_posed_views(folder))


def test_orthographic_views_are_written_and_read_back(tmp_path: Path) -> None:
    intrinsics = torch.tensor([[SIZE / 1.35, 0, SIZE / 2], [0, SIZE / 1.35, SIZE / 2], [0, 0, 1]]).repeat(12, 1, 1)
    views = ellipsoid(Cameras(around().world_to_camera, intrinsics, SIZE, SIZE, orthographic=True))
    content = json.loads(write_transforms(views, tmp_path / "flat").read_text())
    assert content["camera_model"] == "ORTHOPHOTO"
    again = read_posed_views(tmp_path / "flat")
    assert again.cameras.orthographic
    torch.testing.assert_close(again.cameras.intrinsics, intrinsics)
    assert torch.equal(again.alpha, views.alpha)


def test_orthographic_cameras_do_not_take_their_scale_from_a_field_of_view(tmp_path: Path) -> None:
    flat = Cameras(around().world_to_camera, around().intrinsics, SIZE, SIZE, orthographic=True)
    write_transforms(ellipsoid(around()), tmp_path / "flat")
    content = {**camera_entries(flat, [f"{index:03d}.png" for index in range(12)]), "camera_angle_x": 0.8}
    for frame in content["frames"]:
        del frame["fl_x"], frame["fl_y"]
    (tmp_path / "flat" / "transforms.json").write_text(json.dumps(content))
    with pytest.raises(BadInput, match="focal length"):
        read_posed_views(tmp_path / "flat")
