"""The cut-out holds the object and nothing of its background, and doubts are told."""

import hashlib
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

from epimesh import weights
from epimesh.errors import BadInput, BadWeights, MissingExtra, WeightsNotFound
from epimesh.pipeline.fingerprint import fingerprint
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.pipeline.licences import weights_and_licences
from epimesh.runtime import Runtime, Silent
from epimesh.stages.read import saliency
from epimesh.stages.read.cut_out import CutOut

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
RED, GREY = (200, 30, 30), (215, 215, 210)
BOX = (40, 50, 100, 80)  # left, top, right, bottom


def scene(box: tuple[int, int, int, int] = BOX, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """A red ellipse on grey."""
    image = Image.new("RGB", size, GREY)
    ImageDraw.Draw(image).ellipse(box, fill=RED)
    return image


def mask_of(box: tuple[int, int, int, int] = BOX, size: tuple[int, int] = (160, 120)) -> Image.Image:
    image = Image.new("L", size, 0)
    ImageDraw.Draw(image).ellipse(box, fill=255)
    return image


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def cut(path: Path, **settings: object) -> tuple[torch.Tensor, list[str]]:
    """The rgba and the warnings."""
    reporter = Silent()
    given = {"method": "grabcut", "size": 128, "elevation_deg": 20.0, **settings}
    photo = CutOut(**given)(path, runtime=Runtime("cpu", 0, reporter))
    return photo.rgba, reporter.warnings


def iou(alpha: torch.Tensor, other: torch.Tensor) -> float:
    a, b = alpha > 0.5, other > 0.5
    return float((a & b).sum() / (a | b).sum())


def bounds(alpha: torch.Tensor) -> tuple[int, int, int, int]:
    rows, columns = (alpha > 0.5).any(1).nonzero()[:, 0], (alpha > 0.5).any(0).nonzero()[:, 0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@pytest.mark.parametrize("fill", [0.5, 0.78])
def test_the_object_is_centred_and_takes_the_wanted_share_of_the_frame(tmp_path: Path, fill: float) -> None:
    saved(mask_of(), tmp_path / "mask.png")
    rgba, _ = cut(saved(scene(), tmp_path / "photo.png"), mask=tmp_path / "mask.png", fill=fill)
    left, top, right, bottom = bounds(rgba[3])
    assert rgba.shape == (4, 128, 128)
    assert (right - left) / 128 == pytest.approx(fill, abs=0.03)
    assert (left + right) / 2 == pytest.approx(64, abs=1.5)
    assert (top + bottom) / 2 == pytest.approx(64, abs=1.5)


def test_without_a_network_an_object_on_a_plain_background_is_found(tmp_path: Path) -> None:
    photo = saved(scene(), tmp_path / "photo.png")
    found, warnings = cut(photo)
    truth, _ = cut(photo, mask=saved(mask_of(), tmp_path / "mask.png"))
    assert iou(found[3], truth[3]) > 0.97
    assert len(warnings) == 1
    assert "--mask" in warnings[0]


def test_holes_stay_holes(tmp_path: Path) -> None:
    image = scene((40, 20, 120, 100))
    ImageDraw.Draw(image).ellipse((60, 40, 100, 80), fill=GREY)
    rgba, _ = cut(saved(image, tmp_path / "ring.png"))
    assert rgba[3, 64, 64] < 0.05
    assert rgba[3, 64, 26] > 0.95


def test_transparency_that_leaves_something_out_is_the_mask(tmp_path: Path) -> None:
    image = scene()
    image.putalpha(mask_of())
    rgba, warnings = cut(saved(image, tmp_path / "cut.png"), method="auto")
    assert iou(rgba[3], cut(tmp_path / "cut.png", mask=saved(mask_of(), tmp_path / "m.png"))[0][3]) > 0.98
    assert warnings == []


def test_an_opaque_alpha_channel_says_nothing_and_the_object_is_looked_for(tmp_path: Path) -> None:
    image = scene()
    image.putalpha(255)
    rgba, _ = cut(saved(image, tmp_path / "opaque.png"), method="auto", rembg_model=None)
    assert 0.2 < float((rgba[3] > 0.5).float().mean()) < 0.5


def test_the_mask_file_wins_over_transparency(tmp_path: Path) -> None:
    image = scene()
    image.putalpha(mask_of((0, 0, 30, 30)))
    rgba, _ = cut(saved(image, tmp_path / "cut.png"), method="auto", mask=saved(mask_of(), tmp_path / "mask.png"))
    assert rgba[0, 64, 64] > 0.75


@pytest.mark.parametrize("background", [(0, 0, 0), (255, 255, 255), (0, 200, 0)], ids=["black", "white", "green"])
def test_soft_edges_keep_the_objects_colour_and_nothing_of_the_background(
    tmp_path: Path, background: tuple[int, int, int]
) -> None:
    soft = mask_of().filter(ImageFilter.GaussianBlur(2))
    photo = Image.composite(Image.new("RGB", soft.size, RED), Image.new("RGB", soft.size, background), soft)
    rgba, _ = cut(saved(photo, tmp_path / "photo.png"), mask=saved(soft, tmp_path / "mask.png"))
    edge = (rgba[3] > 0.2) & (rgba[3] < 0.9)
    colours = rgba[:3, edge]
    off = (colours - torch.tensor(RED)[:, None] / 255).abs().mean()
    mixed = (torch.tensor(RED) - torch.tensor(background)).abs().float().mean() / 255
    assert edge.sum() > 100
    assert off < 0.12 * mixed


def test_colours_hidden_under_full_transparency_do_not_leak(tmp_path: Path) -> None:
    hidden = Image.new("RGBA", (160, 120), (0, 255, 0, 0))
    hidden.paste(Image.new("RGB", (160, 120), RED), (0, 0), mask_of())
    hidden.putalpha(mask_of())
    rgba, _ = cut(saved(hidden, tmp_path / "cut.png"), method="auto")
    assert rgba[1].max() < 0.2  # there is no green anywhere, not even where nothing is visible


def test_a_photo_held_sideways_gives_the_same_cut_out(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upright, _ = cut(saved(scene(), tmp_path / "upright.png"))
    sideways, _ = cut(saved(scene().transpose(Image.Transpose.ROTATE_90), tmp_path / "held.png", exif=exif))
    torch.testing.assert_close(sideways, upright)


@pytest.mark.parametrize(
    ("box", "word"),
    [
        ((-40, 30, 60, 90), "left border"),
        ((60, 40, 74, 54), "crop the photo closer"),
        ((-60, -60, 220, 180), "background was probably not removed"),
    ],
)
def test_doubts_about_the_mask_are_told(tmp_path: Path, box: tuple[int, int, int, int], word: str) -> None:
    mask = saved(mask_of(box), tmp_path / "mask.png")
    _, warnings = cut(saved(scene(box), tmp_path / "photo.png"), mask=mask)
    assert any(word in warning for warning in warnings), warnings


def test_an_inverted_mask_is_told(tmp_path: Path) -> None:
    inverted = mask_of((20, 10, 140, 110)).point(lambda value: 255 - value)
    _, warnings = cut(saved(scene(), tmp_path / "photo.png"), mask=saved(inverted, tmp_path / "mask.png"))
    assert any("inverted" in warning for warning in warnings), warnings


def test_specks_are_left_out_and_large_pieces_are_kept(tmp_path: Path) -> None:
    mask = mask_of((20, 40, 70, 90))
    draw = ImageDraw.Draw(mask)
    draw.ellipse((90, 40, 130, 80), fill=255)
    draw.rectangle((150, 5, 152, 7), fill=255)
    _, warnings = cut(saved(scene(), tmp_path / "photo.png"), mask=saved(mask, tmp_path / "mask.png"))
    assert any("2 separate pieces" in warning for warning in warnings), warnings
    assert any("1 small pieces" in warning for warning in warnings), warnings


def test_a_mask_of_another_shape_is_refused_with_both_sizes(tmp_path: Path) -> None:
    mask = saved(mask_of(size=(80, 80)), tmp_path / "mask.png")
    with pytest.raises(BadInput, match=r"80 x 80 pixels.*160 x 120"):
        cut(saved(scene(), tmp_path / "photo.png"), mask=mask)


@pytest.mark.parametrize(
    "kind",
    [
        lambda mask: mask.resize((80, 60), Image.Resampling.BOX),
        lambda mask: mask.point(lambda value: int(value > 127)),
        lambda mask: Image.merge("RGB", (mask, Image.new("L", mask.size), Image.new("L", mask.size))),
        lambda mask: mask.point(lambda value: 255 - value),
        lambda mask: mask.convert("1"),
    ],
    ids=["half size", "0 and 1", "red on black", "inverted", "bits"],
)
def test_masks_of_every_kind_are_understood(tmp_path: Path, kind: Callable[[Image.Image], Image.Image]) -> None:
    photo, box = saved(scene(), tmp_path / "photo.png"), mask_of()
    expected, _ = cut(photo, mask=saved(box, tmp_path / "mask.png"))
    found, _ = cut(photo, mask=saved(kind(box), tmp_path / "other.png"))
    assert iou(found[3], expected[3]) > 0.95


def test_two_objects_that_haze_joins_are_told_and_one_can_be_kept(tmp_path: Path) -> None:
    mask = mask_of((10, 40, 70, 100))
    draw = ImageDraw.Draw(mask)
    draw.ellipse((95, 40, 150, 95), fill=255)
    draw.rectangle((60, 60, 110, 75), fill=90)
    draw.ellipse((10, 40, 70, 100), fill=255)
    draw.ellipse((95, 40, 150, 95), fill=255)
    photo, file = saved(scene(), tmp_path / "photo.png"), saved(mask, tmp_path / "mask.png")
    both, warnings = cut(photo, mask=file)
    assert any("2 separate pieces" in warning for warning in warnings), warnings
    one, warnings = cut(photo, mask=file, pieces="largest")
    assert warnings == []
    left, _, right, _ = bounds(one[3])
    assert right - left == pytest.approx(0.78 * 128, abs=3)
    assert float((both[3] > 0.5).float().mean()) < float((one[3] > 0.5).float().mean())


def test_a_window_is_object_and_a_soft_shadow_is_not(tmp_path: Path) -> None:
    image = scene((40, 20, 120, 90))
    alpha = mask_of((40, 20, 120, 90))
    ImageDraw.Draw(alpha).rectangle((60, 40, 90, 60), fill=90)
    ImageDraw.Draw(image).rectangle((30, 91, 130, 110), fill=(0, 0, 0))
    shadow = Image.new("L", image.size, 0)
    ImageDraw.Draw(shadow).rectangle((35, 92, 125, 104), fill=150)
    image.putalpha(Image.fromarray(np.maximum(np.asarray(alpha), np.asarray(shadow))))
    rgba, warnings = cut(saved(image, tmp_path / "cut.png"), method="auto")
    expected, _ = cut(tmp_path / "cut.png", mask=saved(mask_of((40, 20, 120, 90)), tmp_path / "m.png"))
    assert iou(rgba[3], expected[3]) > 0.96
    assert any("surrounds" in warning for warning in warnings)
    assert any("shadow" in warning for warning in warnings)


def test_an_object_on_a_background_of_one_colour_is_cut_out_exactly(tmp_path: Path, shared: Path) -> None:
    """Where the network sees the same object, its soft idea of the outline gives way to the outline itself."""
    given = Image.open(shared / "data" / "gso30" / "school_bus1" / "001.png").convert("RGBA")
    flat = Image.new("RGB", given.size, (255, 255, 255))
    flat.paste(given, mask=given.getchannel("A"))
    found, _ = cut(saved(flat, tmp_path / "flat.jpg", quality=92), method="auto")
    truth, _ = cut(saved(given, tmp_path / "own.png"), method="alpha")
    assert iou(found[3], truth[3]) > 0.985


def test_no_object_is_an_error(tmp_path: Path) -> None:
    photo = saved(scene(), tmp_path / "photo.png")
    with pytest.raises(BadInput, match="No object"):
        cut(photo, mask=saved(Image.new("L", (160, 120), 0), tmp_path / "mask.png"))
    with pytest.raises(BadInput, match="transparent everywhere"):
        cut(saved(Image.new("RGBA", (64, 64), (9, 9, 9, 0)), tmp_path / "clear.png"), method="auto")


def test_insisting_on_transparency_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no transparency"):
        cut(saved(scene(), tmp_path / "photo.png"), method="alpha")


@pytest.mark.parametrize(
    "settings", [{"size": 4}, {"fill": 1.5}, {"elevation_deg": 120.0}, {"fov_deg": 0.0}], ids=lambda s: str(*s)
)
def test_impossible_settings_are_refused_at_once(settings: dict[str, float]) -> None:
    with pytest.raises(BadInput, match="expected"):
        CutOut(**settings)


def test_the_result_says_how_the_camera_stood(tmp_path: Path) -> None:
    photo = CutOut(method="grabcut", elevation_deg=35.0, fov_deg=40.0, size=64)(
        saved(scene(), tmp_path / "photo.png"), runtime=Runtime()
    )
    assert (photo.elevation_deg, photo.fov_deg, photo.size) == (35.0, 40.0, 64)


def test_the_same_photo_gives_the_same_cut_out(tmp_path: Path) -> None:
    photo = saved(scene(), tmp_path / "photo.png")
    assert torch.equal(cut(photo)[0], cut(photo)[0])


class TestTheNetwork:
    """Which network is taken, what it finds, and what happens without one."""

    def test_the_file_that_ships_is_the_published_one(self) -> None:
        file = weights.resolve("bundled:u2netp") / "u2netp.onnx"
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        assert digest == "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"
        assert digest in (file.parent / "README.md").read_text()

    def test_a_named_file_goes_before_one_of_rembg_and_that_before_the_one_that_ships(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv(saliency.MODEL_VARIABLE, raising=False)
        monkeypatch.setenv("U2NET_HOME", str(tmp_path))
        assert CutOut().rembg_model == weights.resolve("bundled:u2netp") / "u2netp.onnx"
        for name in ("silueta.onnx", "u2net.onnx"):
            (tmp_path / name).write_bytes(b"weights")
            assert CutOut().rembg_model == tmp_path / name
        (tmp_path / "mine.onnx").write_bytes(b"weights")
        monkeypatch.setenv(saliency.MODEL_VARIABLE, str(tmp_path / "mine.onnx"))
        assert CutOut().rembg_model == tmp_path / "mine.onnx"

    def test_its_licence_is_listed_with_the_result(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(saliency.MODEL_VARIABLE, raising=False)
        monkeypatch.setenv("U2NET_HOME", str(tmp_path))
        (tmp_path / "own.onnx").write_bytes(b"weights")
        fast = ImageTo3D.from_preset("fast")
        assert weights_and_licences(fast)["bundled:u2netp"] == "apache-2.0"
        own = replace(fast, read=CutOut(rembg_model=tmp_path / "own.onnx"))
        assert weights_and_licences(own)[str(tmp_path / "own.onnx")] == "not stated"

    def test_the_white_head_of_the_example_bird_before_a_light_wall_is_kept(self) -> None:
        found, warnings = cut(EXAMPLES / "bird.jpg", method="auto")
        head = found[3, 22:32, 28:44]
        assert float(head.mean()) > 0.9
        assert warnings == []

    def test_without_onnxruntime_colours_decide_and_that_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "onnxruntime", None)  # what an import of something broken comes to
        photo = saved(scene(), tmp_path / "photo.png")
        found, warnings = cut(photo, method="auto")
        assert torch.equal(found, cut(photo, method="grabcut")[0])
        assert "onnxruntime" in warnings[0]
        with pytest.raises(MissingExtra, match="onnxruntime"):
            cut(photo, method="rembg")

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        photo = saved(scene(), tmp_path / "photo.png")
        with pytest.raises(WeightsNotFound, match=r"gone.onnx"):
            cut(photo, method="auto", rembg_model=tmp_path / "gone.onnx")
        monkeypatch.setenv(saliency.MODEL_VARIABLE, str(tmp_path / "lost.onnx"))
        with pytest.raises(WeightsNotFound, match=r"lost.onnx"):
            CutOut()

    def test_a_file_that_is_no_network_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "junk.onnx").write_bytes(b"junk")
        with pytest.raises(BadWeights, match=r"junk.onnx"):
            cut(saved(scene(), tmp_path / "photo.png"), method="auto", rembg_model=tmp_path / "junk.onnx")

    def test_a_network_that_arrives_later_renews_saved_cut_outs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "u2net.onnx").write_bytes(b"weights")
        monkeypatch.setenv(saliency.MODEL_VARIABLE, str(tmp_path / "u2net.onnx"))
        with_network = fingerprint(CutOut())
        (tmp_path / "u2net.onnx").write_bytes(b"better weights")
        assert fingerprint(CutOut()) != with_network

    def test_it_finds_an_object_before_a_busy_background(self, tmp_path: Path, shared: Path) -> None:
        photos = shared / "data" / "photos"
        found, _ = cut(photos / "threestudio_hamburger.jpg", method="rembg")
        truth, _ = cut(photos / "threestudio_hamburger_rgba.png", method="alpha")
        assert iou(found[3], truth[3]) > 0.88


def test_a_photo_of_a_cactus_is_cut_out_like_by_hand(shared: Path) -> None:
    photos = shared / "data" / "photos"
    found, _ = cut(photos / "threestudio_cactus.jpg")
    by_hand, _ = cut(photos / "threestudio_cactus_rgba.png", method="alpha")
    assert iou(found[3], by_hand[3]) > 0.88


def test_no_given_photo_fails(shared: Path) -> None:
    photos = sorted(p for p in (shared / "data" / "photos").iterdir() if p.suffix in {".jpg", ".png"})
    covered = [float(cut(path, method="auto")[0][3].mean()) for path in photos]
    assert len(photos) == 31
    assert np.min(covered) > 0.1
    assert np.max(covered) < 0.7
