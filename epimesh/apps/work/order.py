"""What travels to the process that makes a mesh, and what that process says meanwhile. All of it can be pickled."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epimesh.errors import EpimeshError, StageFailed
from epimesh.pipeline.licences import Policy


@dataclass(frozen=True, kw_only=True)
class Order:
    """One photo to be made into a mesh.

    Args:
        photo: the image file.
        out: the folder of the result; its name also names the files.
        settings: of the pipeline, as on the command line: `--preset=small`, `--mesh.faces=500`.
        seed, device, formats, policy: as of `epimesh run`.
        mask_only: write `mask.png`, which says where the object is in the photo, and make nothing else.
    """

    photo: Path
    out: Path
    settings: tuple[str, ...] = ()
    seed: int = 0
    device: str = "auto"
    formats: tuple[str, ...] = ("glb",)
    policy: Policy = "any"
    mask_only: bool = False


@dataclass(frozen=True)
class Progress:
    """How far a long loop is."""

    what: str
    done: int
    total: int


@dataclass(frozen=True)
class Said:
    """A line for people: a stage is done."""

    line: str


Event = Progress | Said
Report = dict[str, Any]  # the content of run.json


class WorkerLost(StageFailed):
    """The process that worked on a photo ended before it was done: killed, out of memory, or crashed."""


class TookTooLong(StageFailed):
    """A photo took longer than it may."""


class Broke(EpimeshError):
    """A mistake in epimesh or in a library; the worker's log has the whole story."""
