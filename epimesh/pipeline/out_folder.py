"""Which folder a run writes to, where nobody said: never the one of another photo's result."""

import json
from pathlib import Path

from epimesh.errors import BadInput

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


def _made_of(folder: Path) -> str | None:
    """The key of the input whose result a folder holds; None where there is none."""
    try:
        report = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        return str(report["photo_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
