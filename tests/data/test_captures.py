"""What people's captures look like, one situation each: right, or refused with a sentence; never wrong in silence.

A school bus is written as an undisturbed capture, and again as each situation has it. What all silhouettes leave of
space has to be the same in both.
"""

import codecs
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from epimesh.cameras import Cameras
from epimesh.data.posed.lens import Lens
from epimesh.data.posed.posed_views import Capture, read_capture
from epimesh.data.posed.source_frame import (
    GUESSED_MISSES,
    SourceFrame,
    source_frame_of,
    strictest_frame_of,
    worst_explained,
)
from epimesh.errors import BadInput, StageFailed
from epimesh.files.posed_set import write_transforms
from epimesh.reconstruction.silhouettes import silhouette_views
from epimesh.reconstruction.visual_hull import visual_hull
from epimesh.runtime import Runtime, Silent
from epimesh.views import Views

SIZE, CELLS, RADIUS = 128, 48, 0.7


@pytest.fixture(scope="module")
def bus(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen views of a scanned school bus, 128 pixels."""
    views = read_capture(shared / "data" / "gso30" / "school_bus1", longest_side=SIZE).views
    return write_transforms(views, tmp_path_factory.mktemp("bus") / "clean").parent


@pytest.fixture
def folder(bus: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bus, tmp_path / "capture"))


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / "transforms.json").read_text())
    change(content)
    (folder / "transforms.json").write_text(json.dumps(content))


def each_image(folder: Path, change: Callable[[Image.Image, dict[str, Any]], None]) -> None:
    """Passes every image, as RGBA, with its frame's entry."""

    def all_frames(content: dict[str, Any]) -> None:
        for frame in content["frames"]:
            change(Image.open(folder / frame["file_path"]).convert("RGBA"), frame)

    edit(folder, all_frames)


def placed(capture: Capture) -> tuple[Views, SourceFrame]:
    frame = source_frame_of(capture.views, capture.up)
    return (capture.views if frame.is_standard() else frame.fitted(capture.views)), frame


def solid(views: Views) -> np.ndarray:
    field = visual_hull(silhouette_views(views, None, Runtime(device="cpu")), RADIUS, CELLS, 0.15).field
    return field < 0


def agreement(one: Views, other: Views) -> float:
    """Intersection over union of what the two leave of space."""
    a, b = solid(one), solid(other)
    return float((a & b).sum() / (a | b).sum())


def with_background(image: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    flat = Image.new("RGB", image.size, colour)
    flat.paste(image, mask=image.getchannel("A"))
    return flat


# ---- how cameras are written


@pytest.mark.parametrize("tags", [(6,), (3,), (1, 6, 8)])
def test_poses_are_about_stored_pixels_whatever_the_rotation_tag_says(
    folder: Path, bus: Path, tags: tuple[int]
) -> None:
    def held(image: Image.Image, frame: dict[str, Any]) -> None:
        exif = Image.Exif()
        exif[0x0112] = tags[int(frame["file_path"][:3]) % len(tags)]
        image.save(folder / frame["file_path"], exif=exif)

    each_image(folder, held)
    assert torch.equal(read_capture(folder).views.alpha, read_capture(bus).views.alpha)


def rotated(folder: Path, turn: torch.Tensor, shift: torch.Tensor, scale: float = 1.0) -> None:
    def move(content: dict[str, Any]) -> None:
        for frame in content["frames"]:
            pose = torch.tensor(frame["transform_matrix"], dtype=torch.float64)
            pose[:3, :3] = turn @ pose[:3, :3]
            pose[:3, 3] = turn @ pose[:3, 3] * scale + shift
            frame["transform_matrix"] = pose.tolist()

    edit(folder, move)


def about(axis: list[float], degrees: float) -> torch.Tensor:
    x, y, z = torch.nn.functional.normalize(torch.tensor(axis, dtype=torch.float64), dim=0).tolist()
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    return torch.linalg.matrix_exp(cross * math.radians(degrees))


@pytest.mark.parametrize("degrees", [-90, 25, 180])
def test_the_object_stands_upright_however_the_world_is_tilted(folder: Path, bus: Path, degrees: float) -> None:
    rotated(folder, about([1.0, 0.0, 0.0], degrees), torch.zeros(3))
    views, frame = placed(read_capture(folder))
    assert frame.rotation != ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    assert views.cameras.centres[:, 2].std() < 1e-3  # the ring is level again
    assert agreement(views, frame_of_clean(bus)) > 0.9


def frame_of_clean(bus: Path) -> Views:
    return source_frame_of(read_capture(bus).views).fitted(read_capture(bus).views)


def test_up_that_is_told_by_the_tags_of_turned_photos_is_found(folder: Path) -> None:
    """Portrait photos: cameras rolled by a quarter turn, as their tags say."""

    def rolled(image: Image.Image, frame: dict[str, Any]) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        image.transpose(Image.Transpose.ROTATE_90).save(folder / frame["file_path"], exif=exif)
        pose = torch.tensor(frame["transform_matrix"])
        right, up = pose[:3, 0].clone(), pose[:3, 1].clone()
        pose[:3, 0], pose[:3, 1] = up, -right  # what was up lies at the left of the stored pixels
        pose[:3, 0] *= -1
        pose[:3, 1] *= -1
        frame["transform_matrix"] = pose.tolist()

    each_image(folder, rolled)
    up = read_capture(folder).up
    assert up is not None
    assert float(up[2]) > 0.99


@pytest.mark.parametrize("scale", [4.0, 0.4])
def test_coordinates_of_a_map_lose_nothing(folder: Path, bus: Path, scale: float) -> None:
    middle = torch.tensor([432_175.25, 5_411_932.5, 312.0], dtype=torch.float64)
    rotated(folder, torch.eye(3, dtype=torch.float64), middle, scale)
    capture = read_capture(folder)
    views, frame = placed(capture)
    assert agreement(views, frame_of_clean(bus)) > 0.97
    found = torch.tensor(frame.moved_by(capture.origin).centre, dtype=torch.float64)
    assert (found - middle).abs().max() < 0.2 * scale


def test_a_camera_angle_for_each_axis_is_used(folder: Path, bus: Path) -> None:
    """Pixels that are not square: images squeezed to two thirds of their width."""

    def squeeze(image: Image.Image, frame: dict[str, Any]) -> None:
        image.resize((84, SIZE), Image.Resampling.BOX).save(folder / frame["file_path"])
        frame.update(w=84, h=SIZE)
        for key in ("fl_x", "fl_y", "cx", "cy"):
            del frame[key]

    focal = json.loads((folder / "transforms.json").read_text())["frames"][0]["fl_x"]
    each_image(folder, squeeze)
    angle = 2 * math.atan(SIZE / 2 / focal)
    edit(folder, lambda content: content.update(camera_angle_x=angle, camera_angle_y=angle))
    assert agreement(read_capture(folder).views, read_capture(bus).views) > 0.93
    edit(folder, lambda content: (content.pop("camera_angle_x"), content.update(camera_angle_y=angle)))
    assert read_capture(folder).views.cameras.intrinsics[0, 0, 0] == pytest.approx(focal)


def bend(folder: Path, lens: Lens) -> None:
    """Images as the lens would have taken them: every stored pixel shows what the straight picture has there."""

    def through(image: Image.Image, frame: dict[str, Any]) -> None:
        focal, centre = frame["fl_x"], SIZE / 2
        v, u = torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij")
        stored = torch.stack([u, v], dim=-1).reshape(-1, 2)
        straight = lens.straightened((stored - centre) / focal).reshape(SIZE, SIZE, 2).nan_to_num(9.0)
        rgba = torch.from_numpy(np.asarray(image).astype(np.float32)).permute(2, 0, 1)[None]
        seen = torch.nn.functional.grid_sample(rgba, (straight * focal / centre)[None], align_corners=False)[0]
        Image.fromarray(seen.permute(1, 2, 0).round().byte().numpy()).save(folder / frame["file_path"])

    each_image(folder, through)


@pytest.mark.parametrize(
    ("lens", "keys"),
    [
        (Lens(True, (0.0,) * 4), {"is_fisheye": True}),
        (Lens(True, (0.05, -0.01, 0.0, 0.0)), {"camera_model": "OPENCV_FISHEYE", "k1": 0.05, "k2": -0.01}),
        (Lens(False, (-0.35, 0.1, 0.0, 0.0), (0.01, -0.005)), {"k1": -0.35, "k2": 0.1, "p1": 0.01, "p2": -0.005}),
        (Lens(False, (0.25, 0.0, 0.0, 0.0)), {"k1": 0.25}),
    ],
    ids=["equidistant", "fisheye", "barrel and tangential", "pincushion"],
)
def test_bending_lenses_are_straightened_while_reading(
    folder: Path, bus: Path, lens: Lens, keys: dict[str, Any]
) -> None:
    bend(folder, lens)
    bent = agreement(read_capture(folder).views, read_capture(bus).views)
    edit(folder, lambda content: content.update(keys))
    straight = agreement(read_capture(folder).views, read_capture(bus).views)
    assert straight > 0.955
    assert straight > bent + 0.005


def test_points_go_through_a_lens_and_back() -> None:
    points = torch.rand(100, 2) - 0.5
    for lens in (Lens(True, (0.05, -0.01, 0.02, 0.0)), Lens(False, (-0.2, 0.05, 0.0, 0.0), (0.01, 0.02))):
        torch.testing.assert_close(lens.straightened(lens.bent(points)), points, atol=1e-4, rtol=0)


def test_an_object_beyond_what_a_flat_picture_can_hold_is_refused(folder: Path) -> None:
    edit(folder, lambda content: content.update(is_fisheye=True))
    edit(folder, lambda content: [frame.update(fl_x=20, fl_y=20) for frame in content["frames"]])
    with pytest.raises(BadInput, match="optical axis"):
        read_capture(folder)


def test_a_camera_inside_the_object_is_refused(bus: Path) -> None:
    cameras = read_capture(bus).views.cameras
    moved = cameras.world_to_camera.clone()
    moved[3, :3, 3] = 0
    with pytest.raises(StageFailed, match="number 3"):
        solid(replace(read_capture(bus).views, cameras=replace(cameras, world_to_camera=moved)))


def test_a_matrix_of_three_rows_is_understood(folder: Path, bus: Path) -> None:
    edit(folder, lambda content: [frame["transform_matrix"].pop() for frame in content["frames"]])
    assert torch.equal(
        read_capture(folder).views.cameras.world_to_camera, read_capture(bus).views.cameras.world_to_camera
    )


# ---- which files there are


def test_frames_whose_image_is_absent_are_left_out_and_counted(folder: Path) -> None:
    (folder / "003.png").unlink()
    told = Silent()
    assert len(read_capture(folder, reporter=told).views) == 15
    assert "1 of 16 images" in told.warnings[0]
    assert "003.png" in told.warnings[0]


@pytest.mark.parametrize(
    "renamed",
    [
        lambda name: f".\\images\\{name}",
        lambda name: f"C:\\scans\\mine\\images\\{name}",
        lambda name: f"/media/someone/images/{name}",
        lambda name: name.upper(),
        lambda name: f"images/{name}".removesuffix(".png"),
    ],
    ids=["backslashes", "Windows", "foreign", "upper case", "no suffix"],
)
def test_images_are_found_by_the_names_of_other_machines(folder: Path, renamed: Callable[[str], str]) -> None:
    (folder / "images").mkdir()
    for path in list(folder.glob("*.png")):
        path.rename(folder / "images" / path.name)
    edit(folder, lambda content: [frame.update(file_path=renamed(frame["file_path"])) for frame in content["frames"]])
    assert len(read_capture(folder).views) == 16


def test_a_name_that_fits_two_files_fits_none(folder: Path) -> None:
    for name in ("a", "b"):
        (folder / name).mkdir()
        shutil.copy(folder / "000.png", folder / name / "same.png")
    edit(folder, lambda content: content["frames"][0].update(file_path="elsewhere/same.png"))
    told = Silent()
    assert len(read_capture(folder, reporter=told).views) == 15
    edit(folder, lambda content: content["frames"][0].update(file_path="elsewhere/b/same.png"))
    assert len(read_capture(folder, reporter=told).views) == 16


def test_blenders_training_file_and_the_path_of_a_file_are_taken(folder: Path) -> None:
    (folder / "transforms.json").rename(folder / "transforms_train.json")
    assert len(read_capture(folder).views) == 16
    (folder / "transforms_train.json").rename(folder / "mine.json")
    assert len(read_capture(folder / "mine.json").views) == 16


@pytest.mark.parametrize(("mark", "encoding"), [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le")])
def test_text_of_windows_editors_is_read(folder: Path, mark: bytes, encoding: str) -> None:
    text = (folder / "transforms.json").read_text()
    (folder / "transforms.json").write_bytes(mark + text.encode(encoding))
    assert len(read_capture(folder).views) == 16


def test_json_that_is_nested_without_end_is_refused(folder: Path) -> None:
    (folder / "transforms.json").write_text("[" * 200_000)
    with pytest.raises(BadInput, match="nested too deeply"):
        read_capture(folder)


# ---- which pixels are object


@pytest.mark.parametrize(
    "mask",
    [
        lambda alpha: alpha,
        lambda alpha: alpha.point(lambda value: int(value > 127)),
        lambda alpha: alpha.point(lambda value: 255 * int(value > 127)).convert("1").convert("P"),
        lambda alpha: Image.merge("RGB", (alpha, Image.new("L", alpha.size), Image.new("L", alpha.size))),
        lambda alpha: alpha.resize((SIZE // 2, SIZE // 2), Image.Resampling.BOX),
        lambda alpha: alpha.point(lambda value: 255 - value),
        lambda alpha: Image.merge("RGBA", (*[Image.new("L", alpha.size, 9)] * 3, alpha)),
    ],
    ids=["grey", "0 and 1", "palette", "red on black", "half size", "inverted", "in the transparency"],
)
def test_masks_of_every_kind_are_understood(
    folder: Path, bus: Path, mask: Callable[[Image.Image], Image.Image]
) -> None:
    def beside(image: Image.Image, frame: dict[str, Any]) -> None:
        name = frame["file_path"]
        mask(image.getchannel("A")).save(folder / f"mask_{name}")
        Image.effect_noise(image.size, 90).convert("RGB").save(folder / name)
        frame["mask_path"] = f"mask_{name}"

    each_image(folder, beside)
    told = Silent()
    found, expected = read_capture(folder, reporter=told).views.alpha > 0.5, read_capture(bus).views.alpha > 0.5
    assert float((found & expected).sum() / (found | expected).sum()) > 0.95
    assert any("turned round" in warning for warning in told.warnings) == (
        float(np.asarray(Image.open(folder / "mask_000.png").convert("L"))[0, 0]) > 200
    )


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 200, 0)], ids=["white", "green"])
@pytest.mark.parametrize("quality", [75, 92])
def test_an_opaque_jpeg_does_not_grow(folder: Path, shared: Path, colour: tuple[int, int, int], quality: int) -> None:
    """Measured in pixels of the outline: what is too much of the area, over the length of the outline."""

    def flat(_: Image.Image, frame: dict[str, Any]) -> None:
        image = Image.open(shared / "data" / "gso30" / "school_bus1" / frame["file_path"]).convert("RGBA")
        large = image.resize((2 * image.width, 2 * image.height), Image.Resampling.BICUBIC)
        name = frame["file_path"].replace(".png", ".jpg")
        with_background(large, colour).save(folder / name, quality=quality)
        large.save(folder / f"true_{frame['file_path']}")
        frame.update(file_path=name)

    each_image(folder, flat)
    edit(folder, lambda content: content.update(frames=content["frames"][:3]))
    found = read_capture(folder).views.alpha[:, 0]
    for index, alpha in enumerate(found):
        truth = torch.from_numpy(np.asarray(Image.open(folder / f"true_{index:03d}.png").getchannel("A")) / 255)
        inside = truth > 0.5
        outline = inside & (torch.nn.functional.max_pool2d((~inside).float()[None], 3, 1, 1)[0] > 0)
        assert abs(float(alpha.sum() - truth.sum())) / float(outline.sum()) < 0.5  # 1.5 without half-contrast edges


def painted(image: Image.Image, alpha: int, grey: int | None, box: tuple[int, int, int, int]) -> Image.Image:
    """The image with a box of this transparency, and perhaps this colour."""
    rgba = np.asarray(image).copy()
    left, top, right, bottom = box
    rgba[top:bottom, left:right, 3] = alpha
    if grey is not None:
        rgba[top:bottom, left:right, :3] = grey
    return Image.fromarray(rgba)


def test_a_window_in_an_object_is_object_and_said(folder: Path, bus: Path) -> None:
    def window(image: Image.Image, frame: dict[str, Any]) -> None:
        middle = SIZE // 2
        painted(image, 90, None, (middle - 8, middle - 6, middle + 8, middle + 6)).save(folder / frame["file_path"])

    each_image(folder, window)
    told = Silent()
    found = read_capture(folder, reporter=told).views
    assert torch.equal(found.alpha > 0.5, read_capture(bus).views.alpha > 0.5)
    assert any("surrounds" in warning for warning in told.warnings)


def test_a_soft_shadow_at_the_foot_is_no_object(folder: Path, bus: Path) -> None:
    def shadow(image: Image.Image, frame: dict[str, Any]) -> None:
        below = Image.new("RGBA", image.size)
        _, _, _, bottom = image.getchannel("A").point(lambda value: 255 * int(value > 127)).getbbox()
        below = painted(below, 153, 0, (30, bottom - 12, 100, min(SIZE - 4, bottom + 10)))
        Image.alpha_composite(below.filter(ImageFilter.GaussianBlur(2)), image).save(folder / frame["file_path"])

    each_image(folder, shadow)
    told = Silent()
    found, expected = read_capture(folder, reporter=told).views.alpha > 0.5, read_capture(bus).views.alpha > 0.5
    assert float((found & expected).sum() / (found | expected).sum()) > 0.96
    assert any("shadow" in warning for warning in told.warnings)


def test_two_objects_that_haze_joins_are_told_apart(folder: Path) -> None:
    def twice(image: Image.Image, frame: dict[str, Any]) -> None:
        half = image.resize((SIZE // 2, SIZE // 2), Image.Resampling.BOX)
        both = painted(Image.new("RGBA", image.size), 100, 128, (10, 50, SIZE - 10, 70))
        both.alpha_composite(half, (0, 32))
        both.alpha_composite(half, (SIZE // 2, 32))
        both.save(folder / frame["file_path"])

    each_image(folder, twice)
    told = Silent()
    read_capture(folder, reporter=told)
    assert any("separate pieces" in warning for warning in told.warnings)


def test_images_that_lie_and_stand_are_read_together(folder: Path, bus: Path) -> None:
    """A crop at one side of every other image, as a camera that stores portrait and landscape would have made."""

    def crop(image: Image.Image, frame: dict[str, Any]) -> None:
        standing = int(frame["file_path"][:3]) % 2
        left, top = (12, 0) if standing else (0, 12)
        image.crop((left, top, SIZE - left, SIZE - top)).save(folder / frame["file_path"])
        frame.update(w=SIZE - 2 * left, h=SIZE - 2 * top, cx=SIZE / 2 - left, cy=SIZE / 2 - top)

    each_image(folder, crop)
    edit(folder, lambda content: (content.pop("w"), content.pop("h")))
    assert agreement(read_capture(folder).views, read_capture(bus).views) > 0.98


def test_a_network_cuts_out_what_nothing_else_tells_and_the_worst_are_named(folder: Path) -> None:
    truth: list[torch.Tensor] = []

    def busy(image: Image.Image, frame: dict[str, Any]) -> None:
        noise = Image.effect_noise(image.size, 120).convert("RGB")
        noise.paste(image, mask=image.getchannel("A"))
        noise.save(folder / frame["file_path"])
        alpha = torch.from_numpy(np.asarray(image.getchannel("A")).astype(np.float32) / 255)
        wrong = frame["file_path"] == "005.png"
        truth.append(alpha.roll(40, 1) if wrong else alpha)

    each_image(folder, busy)
    with pytest.raises(BadInput, match="mask_path"):
        read_capture(folder)

    answers = iter(truth)
    capture = read_capture(folder, segment=lambda rgb: next(answers))
    assert len(capture.segmented) == 16
    frame = source_frame_of(capture.views, misses=GUESSED_MISSES)
    worst = worst_explained(frame, capture.views, 0.8)
    assert [capture.names[index] for index, _ in worst][:1] == ["005.png"]


def test_what_a_network_cuts_off_or_misses_is_named_too_and_the_rest_still_agrees(folder: Path) -> None:
    """In one view it finds nothing, in one only half of the object."""

    def busy(image: Image.Image, frame: dict[str, Any]) -> None:
        noise = Image.effect_noise(image.size, 120).convert("RGB")
        noise.paste(image, mask=image.getchannel("A"))
        noise.save(folder / frame["file_path"])
        found = torch.from_numpy(np.asarray(image.getchannel("A")).astype(np.float32) / 255)
        if frame["file_path"] == "003.png":
            found = torch.zeros_like(found)
        if frame["file_path"] == "007.png":
            found[:, found.shape[1] // 2 :] = 0
        masks.append(found)

    masks: list[torch.Tensor] = []
    each_image(folder, busy)
    answers = iter(masks)
    views = read_capture(folder, segment=lambda rgb: next(answers)).views
    worst = worst_explained(source_frame_of(views, misses=GUESSED_MISSES), views, 0.6)
    assert [index for index, _ in worst] == [3, 7]
    kept = [index for index in range(16) if index not in (3, 7)]
    assert strictest_frame_of(views[kept]) == source_frame_of(views[kept], misses=0.0)
    with pytest.raises(BadInput, match="No object is visible in 16 of 16"):
        read_capture(folder, segment=lambda rgb: torch.zeros_like(rgb[0]))


def test_cameras_keep_their_centres_in_a_turned_frame() -> None:
    """A point goes to the source and back through a rotation, and a fitted view shows it at the same pixel."""
    turn = about([1.0, 2.0, 3.0], 70)
    rows = tuple(tuple(row) for row in turn.tolist())
    frame = SourceFrame(0.25, (1.0, -2.0, 3.0), rows)  # type: ignore[arg-type]
    points = torch.randn(20, 3) * 0.3
    torch.testing.assert_close(frame.from_source(frame.to_source(points)), points, atol=1e-4, rtol=0)
    cameras = Cameras.ring(4, size=32)
    views = Views(rgb=torch.ones(4, 3, 32, 32), alpha=torch.ones(4, 1, 32, 32), cameras=cameras)
    before, _ = cameras.project(points)
    after, _ = frame.fitted(views).cameras.project(frame.from_source(points))
    torch.testing.assert_close(after, before, atol=1e-2, rtol=1e-3)
