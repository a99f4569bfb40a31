"""What can be refused in the first moment: before torch is imported, which takes seconds."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from epimesh.cli.paths import typed_path
from epimesh.errors import BadInput
from epimesh.files.atomic import output_file
from epimesh.files.formats import NEEDED

_NEEDED_BYTES = 200_000_000  # a run of the default preset leaves about 60 MB, one of many steps twice that
_DEVICE = re.compile(r"(auto|cpu|mps|cuda)(:\d+)?")


def check_device(name: str) -> None:
    """Refuses what is no name of a device; whether it is here, torch knows later.

    Raises:
        BadInput: such as "gpu".
    """
    if not _DEVICE.fullmatch(name):
        raise BadInput(f"--device {name[:60]} is none.\nExpected --device auto, cpu, cuda, cuda:1 or mps (Apple).")


def check_slot(name: str | None, slots: Sequence[str]) -> None:
    """Refuses a slot that the pipeline does not have.

    Raises:
        BadInput: it does not.
    """
    if name is not None and name not in slots:
        raise BadInput(f"There is no slot '{name}'.\nExpected --from with one of: {', '.join(slots)}.")


def readable_photos(typed: Sequence[str]) -> list[Path]:
    """The files and folders that were typed. Of several, what cannot be read stops no other, and is told at the end.

    Raises:
        BadInput: one is an address in the web, or the only one is not there.
    """
    for text in typed:
        if re.match(r"[a-z]+://", text):
            raise BadInput(f"{text[:200]} is an address in the web.\nExpected a file: download it first, then run it.")
    paths = [typed_path(text) for text in typed]
    if len(paths) == 1 and not paths[0].exists():
        raise BadInput(f"There is no file {paths[0]}.\nGive the path of a photo that exists and may be read.")
    return paths


def out_and_file(text: str | None) -> tuple[Path | None, Path | None]:
    """The folder of results that was typed, and the mesh file, if one was typed instead of a folder.

    `--out chair.glb` makes the folder `chair` and, beside it, that file.

    Raises:
        BadInput: the name has the suffix of something else than a mesh.
    """
    if text is None:
        return None, None
    path = typed_path(text)
    suffix = path.suffix.lower().lstrip(".")
    if suffix in NEEDED and not path.is_dir():
        return path.with_suffix(""), path
    if suffix in ("fbx", "dae", "blend", "jpg", "png", "webp", "zip") and not path.is_dir():
        raise BadInput(
            f"--out {path} looks like a .{suffix} file, which is not written.\n"
            f"Expected a folder, or a file that ends with one of: {', '.join(NEEDED)}."
        )
    return path, None


def check_disk(out: Path) -> None:
    """Refuses a disk that is nearly full.

    Raises:
        BadInput: less is free than a run leaves.
    """
    there = next((folder for folder in (out, *out.absolute().parents) if folder.is_dir()), Path("/"))
    free = shutil.disk_usage(there).free
    if free < _NEEDED_BYTES:
        raise BadInput(
            f"{free / 1e6:.0f} MB are free where {out} would be, and a run wants {_NEEDED_BYTES / 1e6:.0f} MB.\n"
            "Free some space, or choose another disk with --out FOLDER."
        )


def deliver(out: Path, file: Path) -> Path:
    """Copies the mesh from the folder of a run to the file that was asked for, with the files that belong to it."""
    file = file.with_suffix(file.suffix.lower())
    plain = re.sub(r"\s", "_", out.name)  # what files are called that others refer to
    for made in out.iterdir():
        beside = made.suffix in (".mtl", ".bin") and made.stem in (out.name, plain)
        if made.name == file.name or beside or made.stem == f"{plain}_texture":
            with output_file(file.with_name(made.name)) as path:
                shutil.copyfile(made, path)
    return file
