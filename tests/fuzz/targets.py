"""What is fuzzed: a good file of every kind that people hand in, how it is damaged, and what reads it."""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import trimesh
from mutations import Mutator, mutated_bytes, mutated_json
from PIL import Image, ImageDraw

from epimesh.cameras import FOV_DEG, Cameras
from epimesh.conversion.checkpoint import open_checkpoint
from epimesh.data.objects import load_object, read_manifest
from epimesh.data.posed.posed_views import read_capture
from epimesh.files.images import read_picture
from epimesh.files.meshes import read_mesh
from epimesh.files.posed_set import write_transforms
from epimesh.photo import Photo
from epimesh.pipeline.presets import settings_of
from epimesh.views import Views

MANIFEST = "id,file,split,hard,licence,attribution,family,realistic\nplank,glb/plank.glb,train,0,CC0,me,planks,1\n"


@dataclass(frozen=True)
class Target:
    """One kind of file.

    Args:
        name: of the file; folders before it are made by `prepare`.
        prepare: writes the good file, and what lies beside it, into a folder.
        read: what is held to its promise: a valid result, or one of the project's own errors.
        mutate: how the file is damaged.
    """

    name: str
    prepare: Callable[[Path], None]
    read: Callable[[Path], Any]
    mutate: Mutator = mutated_bytes


def picture() -> Image.Image:
    """A red disc on clear."""
    image = Image.new("RGBA", (24, 16), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((6, 2, 18, 14), fill=(200, 40, 30, 255))
    return image


def _photo(kind: str, **options: Any) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        image = picture() if kind in ("png", "webp", "tiff") else picture().convert("RGB")
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(folder / f"photo.{kind}", exif=exif, **options)

    return prepare


def _gif(folder: Path) -> None:
    picture().convert("P").save(folder / "photo.gif", transparency=0)


def _capture(folder: Path) -> None:
    alpha = torch.zeros(4, 1, 16, 16)
    alpha[:, :, 4:12, 5:11] = 1
    write_transforms(
        Views(rgb=1 - alpha.expand(-1, 3, -1, -1) * 0.5, alpha=alpha, cameras=Cameras.ring(4, size=16)), folder
    )


def _preset(folder: Path) -> None:
    (folder / "preset.yaml").write_text(
        "# mine\nread: {class_path: epimesh.stages.CutOut, init_args: {size: 64}}\nmesh: null\n"
    )


def _mesh(kind: str) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        content = trimesh.creation.box().export(file_type=kind)
        (folder / f"mesh.{kind}").write_bytes(content if isinstance(content, bytes) else content.encode())

    return prepare


def _manifest(folder: Path) -> None:
    (folder / "manifest.csv").write_text(MANIFEST)


def _checkpoint(folder: Path) -> None:
    packed = io.BytesIO()
    torch.save({"state_dict": {"a": torch.ones(3), "b": torch.arange(4)}}, packed)
    (folder / "model.ckpt").write_bytes(packed.getvalue())


def _old_checkpoint(folder: Path) -> None:
    torch.save({"a": torch.ones(3)}, folder / "old.pth", _use_new_zipfile_serialization=False)


def _safetensors(folder: Path) -> None:
    header = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))


def _stage(folder: Path) -> None:
    Photo(torch.rand(4, 8, 8), 20.0, FOV_DEG).save(folder / "1-read")


def _picture_of(path: Path) -> Any:
    return read_picture(path, longest_side=32)


TARGETS = [
    Target("photo.png", _photo("png"), _picture_of),
    Target("photo.jpg", _photo("jpeg"), lambda path: _picture_of(path.with_suffix(".jpeg"))),
    Target("photo.webp", _photo("webp"), _picture_of),
    Target("photo.tiff", _photo("tiff"), _picture_of),
    Target("photo.gif", _gif, _picture_of),
    Target("transforms.json", _capture, lambda path: read_capture(path.parent, longest_side=16), mutated_json),
    Target("000.png", _capture, lambda path: read_capture(path.parent, longest_side=16)),
    Target("preset.yaml", _preset, lambda path: settings_of(str(path))),
    Target("mesh.glb", _mesh("glb"), read_mesh),
    Target("mesh.ply", _mesh("ply"), read_mesh),
    Target("mesh.stl", _mesh("stl"), read_mesh),
    Target("mesh.obj", _mesh("obj"), load_object),
    Target("manifest.csv", _manifest, lambda path: read_manifest(path.parent)),
    Target("model.ckpt", _checkpoint, open_checkpoint),
    Target("old.pth", _old_checkpoint, open_checkpoint),
    Target("model.safetensors", _safetensors, open_checkpoint),
    Target("1-read/values.json", _stage, lambda path: Photo.load(path.parent), mutated_json),
    Target("1-read/tensors.safetensors", _stage, lambda path: Photo.load(path.parent)),
]
