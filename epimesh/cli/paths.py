"""Paths as people type them."""

from pathlib import Path

from epimesh.errors import BadInput


def typed_path(text: str) -> Path:
    """The path, with ~ as the home folder.

    Raises:
        BadInput: there is no such home folder, or the text cannot be a path.
    """
    try:
        if "\0" in text:
            raise RuntimeError("it holds a NUL")
        return Path(text).expanduser()
    except RuntimeError as error:
        raise BadInput(f"'{text[:200]}' is no path ({error}).\nExpected the path of a file or folder.") from error
