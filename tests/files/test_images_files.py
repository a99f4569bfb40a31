"""Every kind of picture that people have is read to the same colours, and what is no picture is refused with advice."""

import io
import os
import struct
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, features

from epimesh.errors import BadInput, MissingExtra
from epimesh.files.images import read_picture

ORANGE = (230, 120, 40)


def corners(width: int = 40, height: int = 24) -> Image.Image:
    """Orange, with a blue square in the top left corner, so that every rotation shows."""
    image = Image.new("RGB", (width, height), ORANGE)
    image.paste((20, 40, 200), (0, 0, width // 4, height // 4))
    return image


def colour_at(path: Path, row: int, column: int) -> list[int]:
    return (read_picture(path, longest_side=512).rgb[:, row, column] * 255).round().int().tolist()


@pytest.mark.parametrize("suffix", ["png", "webp", "jpg"])
@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_every_format_shows_the_same_colours(tmp_path: Path, suffix: str, mode: str) -> None:
    if (suffix, mode) == ("jpg", "P"):
        pytest.skip("JPEG has no palettes")
    path = tmp_path / f"picture.{suffix}"
    image = corners() if mode == "RGB" else corners().quantize(8)
    image.save(path, **({"lossless": True} if suffix == "webp" else {}))
    assert np.abs(np.array(colour_at(path, 20, 35)) - ORANGE).max() <= 3


def test_the_name_of_a_file_does_not_matter(tmp_path: Path) -> None:
    corners().save(tmp_path / "picture.dat", format="PNG")
    assert colour_at(tmp_path / "picture.dat", 20, 35) == list(ORANGE)


def test_sixteen_bit_grey_keeps_its_brightness(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 32896, dtype=np.uint16)).save(tmp_path / "grey.png")
    grey = read_picture(tmp_path / "grey.png", longest_side=64).rgb
    torch.testing.assert_close(grey, torch.full((3, 8, 8), 32896 / 65535), atol=1e-4, rtol=0)


def test_sixteen_bit_colour_keeps_its_colours(tmp_path: Path) -> None:
    row = b"\0" + struct.pack(">3H", *(value * 257 for value in ORANGE)) * 4
    chunks = [(b"IHDR", struct.pack(">2I5B", 4, 4, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(row * 4)), (b"IEND", b"")]
    packed = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    (tmp_path / "deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
    assert colour_at(tmp_path / "deep.png", 2, 2) == list(ORANGE)


def test_black_and_white_pictures_are_black_and_white(tmp_path: Path) -> None:
    Image.new("1", (8, 8), 1).save(tmp_path / "bits.png")
    assert colour_at(tmp_path / "bits.png", 4, 4) == [255, 255, 255]


def test_cmyk_without_a_profile_is_not_inverted(tmp_path: Path) -> None:
    corners().convert("CMYK").save(tmp_path / "press.jpg", quality=100)
    assert np.abs(np.array(colour_at(tmp_path / "press.jpg", 20, 35)) - ORANGE).max() <= 4


def test_the_colour_profile_of_a_file_is_obeyed(tmp_path: Path) -> None:
    """Under a profile whose red and blue primaries are exchanged, the same numbers mean exchanged colours."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exchanged = srgb.replace(b"rXYZ", b"????", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"????", b"bXYZ", 1)
    corners().save(tmp_path / "plain.png", icc_profile=srgb)
    corners().save(tmp_path / "exchanged.png", icc_profile=exchanged)
    assert colour_at(tmp_path / "plain.png", 20, 35) == list(ORANGE)
    assert np.abs(np.array(colour_at(tmp_path / "exchanged.png", 20, 35)) - ORANGE[::-1]).max() <= 3


def test_a_broken_colour_profile_is_passed_over(tmp_path: Path) -> None:
    corners().save(tmp_path / "broken.png", icc_profile=b"not a profile")
    assert colour_at(tmp_path / "broken.png", 20, 35) == list(ORANGE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_stands_upright_however_the_camera_was_held(tmp_path: Path, orientation: int) -> None:
    upright = corners()
    stored_by = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    stored = upright
    for step in stored_by.get(orientation, []):
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "held.png", exif=exif)
    picture = read_picture(tmp_path / "held.png", longest_side=64)
    assert (picture.full_width, picture.full_height) == (40, 24)
    assert (picture.rgb[2, 1, 1], picture.rgb[2, -2, -2]) == (torch.tensor(200 / 255), torch.tensor(40 / 255))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "tRNS"])
def test_transparency_is_found_in_every_mode(tmp_path: Path, mode: str) -> None:
    image = corners().convert("RGBA")
    image.paste((0, 0, 0, 0), (20, 0, 40, 24))
    if mode == "tRNS":
        keyed = Image.new("RGB", (40, 24), ORANGE)
        keyed.paste((1, 2, 3), (20, 0, 40, 24))
        keyed.save(tmp_path / "clear.png", transparency=(1, 2, 3))
    else:
        image.convert(mode).save(tmp_path / "clear.png")
    alpha = read_picture(tmp_path / "clear.png", longest_side=64).alpha
    assert alpha is not None
    assert (alpha[12, 5], alpha[12, 30]) == (1, 0)


def test_a_picture_without_transparency_has_no_alpha(tmp_path: Path) -> None:
    corners().save(tmp_path / "opaque.png")
    assert read_picture(tmp_path / "opaque.png", longest_side=64).alpha is None


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_large_pictures_are_reduced_and_remember_their_size(tmp_path: Path, suffix: str) -> None:
    corners(1600, 900).save(tmp_path / f"large.{suffix}")
    picture = read_picture(tmp_path / f"large.{suffix}", longest_side=200)
    assert max(picture.rgb.shape) == 200
    assert (picture.full_width, picture.full_height) == (1600, 900)


def test_reducing_a_cut_out_does_not_mix_in_the_hidden_background(tmp_path: Path) -> None:
    image = Image.new("RGBA", (64, 64), (0, 255, 0, 0))
    image.paste((255, 0, 0, 255), (16, 16, 47, 47))
    image.save(tmp_path / "cut.png")
    picture = read_picture(tmp_path / "cut.png", longest_side=16)
    assert picture.alpha is not None
    assert picture.rgb[1][picture.alpha > 0.1].max() < 0.02


def write(kind: str, path: Path) -> None:
    """Makes a file that is no usable picture."""
    encoded = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(encoded, format="PNG")
    whole = encoded.getvalue()
    contents = {
        "empty": b"",
        "text": b"hello, I am a picture, honestly",
        "truncated": whole[: len(whole) // 2],
        "only a header": whole[:40],
        "gif": b"GIF89a" + bytes(40),
        "zip": b"PK\3\4" + bytes(40),
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    }
    path.write_bytes(contents[kind])


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("empty", "empty"),
        ("text", "not a picture"),
        ("truncated", "damaged"),
        ("only a header", "not a picture"),
        ("gif", "GIF"),
        ("zip", "ZIP"),
        ("svg", "SVG"),
    ],
)
def test_what_is_no_picture_is_refused_and_named(tmp_path: Path, kind: str, word: str) -> None:
    path = tmp_path / "photo.png"
    write(kind, path)
    with pytest.raises(BadInput, match=word) as caught:
        read_picture(path, longest_side=64)
    assert "photo.png" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere.jpg cannot be read"):
        read_picture(tmp_path / "nowhere.jpg", longest_side=64)
    with pytest.raises(BadInput, match="is a folder"):
        read_picture(tmp_path, longest_side=64)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user who can be refused")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    corners().save(tmp_path / "secret.png")
    (tmp_path / "secret.png").chmod(0)
    with pytest.raises(BadInput, match="permission"):
        read_picture(tmp_path / "secret.png", longest_side=64)


@pytest.mark.parametrize(("width", "word"), [(9_000, "81.0 megapixels"), (60_000, "far too large")])
def test_a_picture_bomb_is_refused_before_it_is_decoded(tmp_path: Path, width: int, word: str) -> None:
    header = struct.pack(">2I5B", width, width, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + bytes(4))
    with pytest.raises(BadInput, match=word):
        read_picture(tmp_path / "bomb.png", longest_side=64)


@pytest.mark.skipif(find_spec("pillow_heif") is not None, reason="pillow-heif is installed")
def test_a_heic_photo_without_its_reader_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "phone.heic").write_bytes(struct.pack(">I", 24) + b"ftypheic" + bytes(40))
    with pytest.raises(MissingExtra, match=r"epimesh\[heic\]"):
        read_picture(tmp_path / "phone.heic", longest_side=64)


@pytest.mark.skipif(find_spec("pillow_heif") is None, reason="needs pillow-heif")
def test_a_heic_photo_is_read(tmp_path: Path) -> None:
    from pillow_heif import from_pillow

    from_pillow(corners(64, 64)).save(tmp_path / "phone.heic")
    assert np.abs(np.array(colour_at(tmp_path / "phone.heic", 50, 50)) - ORANGE).max() <= 8


@pytest.mark.parametrize("tag", [0, 9, 65_000])
def test_a_rotation_tag_that_says_nothing_says_nothing(tmp_path: Path, tag: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = tag
    corners().save(tmp_path / "held.jpg", exif=exif)
    picture = read_picture(tmp_path / "held.jpg", longest_side=64)
    assert (picture.full_width, picture.full_height) == (40, 24)


def test_stored_pixels_are_read_as_they_are_with_their_tag(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    corners().save(tmp_path / "held.png", exif=exif)
    stored = read_picture(tmp_path / "held.png", longest_side=64, upright=False)
    assert (stored.full_width, stored.full_height, stored.orientation) == (40, 24, 6)
    assert stored.rgb[2, 1, 1] == 200 / 255


@pytest.mark.parametrize("kind", ["gif", "bmp", "tiff", "avif"])
def test_formats_of_older_and_newer_programs_are_read(tmp_path: Path, kind: str) -> None:
    if kind == "avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    corners().save(tmp_path / f"picture.{kind}")
    assert np.abs(np.array(colour_at(tmp_path / f"picture.{kind}", 20, 35)) - ORANGE).max() <= 6


def test_of_several_pictures_in_a_file_the_first_is_read(tmp_path: Path) -> None:
    corners().save(tmp_path / "many.gif", save_all=True, append_images=[Image.new("RGB", (40, 24), (0, 0, 0))])
    assert np.abs(np.array(colour_at(tmp_path / "many.gif", 20, 35)) - ORANGE).max() <= 6


def test_a_jpeg_of_endless_scans_is_refused_in_a_moment(tmp_path: Path) -> None:
    corners().save(tmp_path / "many.jpg", progressive=True)
    whole = (tmp_path / "many.jpg").read_bytes()
    scan = whole[whole.rindex(b"\xff\xda") : -2]
    (tmp_path / "many.jpg").write_bytes(whole[:-2] + scan * 5000 + whole[-2:])
    with pytest.raises(BadInput, match="scans"):
        read_picture(tmp_path / "many.jpg", longest_side=64)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "Git LFS"),
        (b"<!DOCTYPE html><html></html>", "web page"),
    ],
)
def test_what_a_download_left_instead_of_a_picture_is_named(tmp_path: Path, content: bytes, word: str) -> None:
    (tmp_path / "photo.jpg").write_bytes(content)
    with pytest.raises(BadInput, match=word):
        read_picture(tmp_path / "photo.jpg", longest_side=64)
