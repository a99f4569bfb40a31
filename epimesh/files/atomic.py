"""Files and folders whole or not at all, so that a full disk or a killed run leaves nothing broken behind.

They are written beside their place, under a hidden name that tells the process, and moved there when they are complete.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError

from epimesh.errors import BadInput, EpimeshError


def unfinished_path(path: Path) -> Path:
    """Where a file or folder is written before it is complete."""
    return path.with_name(f".{path.name[:100]}.{os.getpid()}.unfinished")


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A path to write a file to; it becomes `path` at the end, and nothing is left of it if anything goes wrong."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = unfinished_path(path)
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """The same for a folder, which has yet to be made.

    Args:
        path: where it is to be.
        replace: take the place of a folder that is there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = unfinished_path(path)
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        yield unfinished
        if replace:
            shutil.rmtree(path, ignore_errors=True)
        unfinished.replace(path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def write_whole(contents: Mapping[Path, bytes]) -> None:
    """Writes all files beside their places first, and moves them there when all are complete, in the order given.

    Raises:
        BadInput: a folder cannot be made, or a file cannot be written; the files that were there are untouched.
    """
    unfinished = {path: unfinished_path(path) for path in contents}
    try:
        for path, content in contents.items():
            if path.is_dir():
                raise IsADirectoryError(None, "there is a folder of that name")
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished[path].write_bytes(content)
        for path in contents:
            unfinished[path].replace(path)
    except OSError as error:
        raise BadInput(
            f"{path} cannot be written ({error.strerror or error}).\n"
            "Choose another place, free some space on the disk, or change the permissions of the folder."
        ) from error
    finally:
        for leftover in unfinished.values():
            with contextlib.suppress(OSError):
                leftover.unlink()


@contextlib.contextmanager
def output_file(path: Path) -> Iterator[Path]:
    """The same as `atomic_file` for what a person asked for: what goes wrong is said with advice.

    Raises:
        BadInput: the disk is full, `path` is a folder, or it cannot be written for another reason.
    """
    try:
        with atomic_file(path) as unfinished:
            yield unfinished
    except EpimeshError:
        raise
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(
            f"{path} cannot be written ({reason[:200]}).\n"
            "Free some space, take away what is there by that name, or choose another folder with --out; then run the "
            "same command: what is done is kept."
        ) from error
