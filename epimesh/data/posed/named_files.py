"""Finds the files that a capture names, as people move captures: between folders, machines and operating systems."""

import os
from collections import defaultdict
from pathlib import Path

_MOST_FILES = 200_000  # a folder with more is not a capture, and not searched
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif", ".heic")


class NamedFiles:
    """The files in and below a folder, by the names that a capture gives them.

    A name is tried as it stands, then with backslashes as slashes, then without regard to case, suffix and leading
    folders. What fits several files equally well fits none.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._by_stem: dict[str, list[Path]] | None = None

    def find(self, name: str) -> Path | None:
        """The file that `name` means, or None."""
        plain = name.replace("\\", "/")
        for candidate in (name, plain, *(plain + suffix for suffix in SUFFIXES[:4])):
            path = self._folder / candidate
            if _is_file(path):
                return path
        return self._by_base_name(plain)

    def _by_base_name(self, name: str) -> Path | None:
        wanted = [part for part in name.lower().split("/") if part not in ("", ".", "..")]
        if not wanted:
            return None
        last = Path(wanted[-1])
        known = last.suffix in SUFFIXES
        found = self._index().get(last.stem if known else last.name, [])
        fitting = [path for path in found if not known or path.suffix.lower() == last.suffix] or found
        ranked = sorted(((_shared_tail(path, wanted), str(path)) for path in fitting), reverse=True)
        if not ranked or (len(ranked) > 1 and ranked[0][0] == ranked[1][0]):
            return None
        return Path(ranked[0][1])

    def _index(self) -> dict[str, list[Path]]:
        """All pictures below the folder by their lower-case names without suffix; listed once, when first needed."""
        if self._by_stem is None:
            self._by_stem = defaultdict(list)
            count = 0
            for here, _, names in os.walk(self._folder):
                count += len(names)
                if count > _MOST_FILES:
                    break
                for each in names:
                    path = Path(here) / each
                    if path.suffix.lower() in SUFFIXES:
                        self._by_stem[path.stem.lower()].append(path)
        return self._by_stem


def _shared_tail(path: Path, wanted: list[str]) -> int:
    """How many folders before the file's own name agree, from the right."""
    folders = [part.lower() for part in path.parts[:-1]]
    count = 0
    for mine, theirs in zip(reversed(folders), reversed(wanted[:-1]), strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # longer than file systems allow, or with a NUL
        return False
