"""The folder of one run: every stage's output, saved whole or not at all, and reused by key.

A run may be stopped at any moment, even killed: an output is written to a hidden folder first and renamed when it is
complete, so what carries a stage's name is always whole.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from safetensors import SafetensorError

from epimesh.artifact import Artifact
from epimesh.errors import BadInput
from epimesh.files.atomic import atomic_folder

A = TypeVar("A", bound=Artifact)


class Workspace:
    """Keeps outputs under `root/STEP-KEY`, where KEY stands for everything that shaped them."""

    def __init__(self, root: Path) -> None:
        """Creates the folder, and removes what killed runs left unfinished in it.

        Raises:
            BadInput: the folder cannot be made or written.
        """
        self.root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
            probe = root / f".writable.{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise BadInput(
                f"The output folder {root} cannot be written ({error.strerror or error}).\n"
                "Choose another one with --out, or change its permissions."
            ) from error
        for leftover in root.glob(".*.unfinished"):
            process = leftover.name.split(".")[-2]
            if not process.isascii() or not process.isdigit() or not _is_running(int(process)):
                shutil.rmtree(leftover, ignore_errors=True)

    def folder(self, step: str, key: str) -> Path:
        """Where the output of `step` with this key is kept."""
        return self.root / f"{step}-{key[:10]}"

    def find(self, step: str, key: str, load: Callable[[Path], Artifact]) -> Artifact | None:
        """The saved output of `step` with this key, or None. A damaged one is removed."""
        folder = self.folder(step, key)
        if not folder.is_dir():
            return None
        try:
            return load(folder)
        except BadInput:
            shutil.rmtree(folder, ignore_errors=True)
            return None

    def forget(self, step: str, key: str) -> None:
        """Removes the saved output of `step` with this key, if there is one."""
        shutil.rmtree(self.folder(step, key), ignore_errors=True)

    def keep(self, step: str, key: str, output: A) -> A:
        """Saves `output` under `step` and `key`, whole or not at all, and returns it.

        If another run saved the same meanwhile, that stays: equal keys stand for equal outputs.

        Raises:
            BadInput: the disk is full or the folder cannot be written.
        """
        folder = self.folder(step, key)
        try:
            with atomic_folder(folder) as unfinished:
                output.save(unfinished)
        except (OSError, SafetensorError) as error:
            if folder.is_dir():
                return cast(A, output)
            reason = getattr(error, "strerror", None) or error
            raise BadInput(
                f"The output of {step} could not be saved in {self.root} ({reason}).\n"
                "Free some space or choose another folder with --out, then run the same command: what is done is kept."
            ) from error
        return cast(A, output)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
