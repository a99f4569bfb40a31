"""Which folder a run writes to, where nobody said: never the one of another photo's result."""

import json
from pathlib import Path

from epimesh.errors import BadInput

POSED = "posed views"
"""What a result states that was made of no photo."""

_MOST = 10_000


def folder_for(name: str, key: str, runs: Path = Path("runs")) -> Path:
    """`runs/NAME`, or with a number behind it where the result of another input is there already.

    Args:
        name: of the photo, without its suffix.
        key: what its result states in run.json (`photo_sha256`); the same photo goes on in its folder.
        runs: where results lie.

    Raises:
        BadInput: the name cannot name a folder.
    """
    plain = name.strip(". ")
    if not plain:
        raise BadInput(f"The name '{name}' cannot name a folder of results.\nChoose one with --out FOLDER.")
    for number in range(1, _MOST):
        folder = runs / (plain if number == 1 else f"{plain}-{number}")
        if _made_of(folder) in (None, key):
            return folder
    raise BadInput(f"There are {_MOST} results called {plain} in {runs}.\nChoose a folder with --out.")


def refuse_others(folder: Path, key: str) -> None:
    """Keeps the result of another input from being replaced in a folder that somebody named.

    Raises:
        BadInput: there is one.
    """
    if _made_of(folder) not in (None, key):
        raise BadInput(
            f"{folder} holds the result of another photo.\n"
            f"Choose another folder with --out, or remove {folder} first: results are never replaced by those of "
            "other photos."
        )


def _made_of(folder: Path) -> str | None:
    """The key of the input whose result a folder holds; None where there is no result."""
    if not (folder / "run.json").is_file():
        return None
    try:
        report = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        return str(report["photo_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return POSED
