"""Writes files whole or not at all, so that a full disk or a killed run leaves no broken asset behind."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from epimesh.errors import BadInput


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
