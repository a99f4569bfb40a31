"""Writes files and folders whole or not at all: a full disk or a killed run leaves no broken asset behind."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError

from epimesh.errors import BadInput, EpimeshError


def write_whole(contents: Mapping[Path, bytes]) -> None:
    """Writes all files beside their places first, and moves them there when all are complete, in the order given.

    Raises:
        BadInput: a folder cannot be made, or a file cannot be written; the files that were there are untouched.
    """
    unfinished = {path: path.with_name(f".{path.name[:100]}.{os.getpid()}.unfinished") for path in contents}
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
def atomic_file(path: Path) -> Iterator[Path]:
    """A hidden path to write to; after the block it becomes `path`. On an error nothing is left.

    Raises:
        BadInput: the disk is full, `path` is a folder, or it cannot be written for another reason.
    """
    unfinished = path.with_name(f".{path.name[:100]}.{os.getpid()}{path.suffix[:20]}")
    with _advice(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield unfinished
            unfinished.replace(path)
        finally:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """A hidden folder to make and fill; after the block it becomes `path`. One that another run put there stays.

    Args:
        path: where it is to be.
        replace: take the place of a folder that is there.

    Raises:
        BadInput: see `atomic_file`.
    """
    unfinished = path.with_name(f".unfinished-{path.name[:100]}-{os.getpid()}")
    with _advice(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            yield unfinished
            if replace:
                shutil.rmtree(path, ignore_errors=True)
            try:
                unfinished.replace(path)
            except OSError:
                if not path.is_dir():
                    raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


@contextlib.contextmanager
def _advice(path: Path) -> Iterator[None]:
    try:
        yield
    except EpimeshError:
        raise
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(
            f"{path} cannot be written ({reason[:200]}).\n"
            "Free some space, take away what is there by that name, or choose another folder with --out; then run the "
            "same command: what is done is kept."
        ) from error
