"""One photo of a batch from where it lies to where its result belongs; the result is there whole, or not at all."""

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from epimesh.apps.batch.photos import Item, filesystem, is_address
from epimesh.apps.work.order import Order, Report
from epimesh.errors import BadInput, EpimeshError
from epimesh.files.atomic import atomic_file
from epimesh.pipeline.image_to_3d import SLOTS
from epimesh.pipeline.licences import Policy

WORKING = ".working"  # in the folder of the batch; what a lost worker had finished of a photo is found there again


@dataclass(frozen=True, kw_only=True)
class Task:
    """One photo of a batch.

    Args:
        item: the photo, and the name of its result.
        out: folder or address of the whole batch.
        settings, seed, device, formats, policy: as of `Order`.
        keep_stages: leave the outputs of all stages beside the mesh.
    """

    item: Item
    out: str
    settings: tuple[str, ...] = ()
    seed: int = 0
    device: str = "auto"
    formats: tuple[str, ...] = ("glb",)
    policy: Policy = "any"
    keep_stages: bool = False


@dataclass(frozen=True, kw_only=True)
class Made:
    """How a task ended.

    Args:
        task: which.
        result: its report, or why there is none.
        seconds: of the last try.
        tries: how often it was tried.
        worker: which one made it.
    """

    task: Task
    result: Report | EpimeshError
    seconds: float
    tries: int
    worker: str


def made_whole(task: Task, make: Callable[[Order], Report]) -> Report:
    """Makes a photo in a hidden folder, and moves the result to its place when all of it is there.

    Args:
        task: what to make.
        make: makes an order; it may be interrupted, and another one then goes on.

    Raises:
        BadInput: the photo has vanished or cannot be read, or the result cannot be written.
        EpimeshError: as `make` does.
    """
    if is_address(task.out):
        with tempfile.TemporaryDirectory(prefix="epimesh-batch-") as folder:
            report = _made_in(Path(folder), task, make)
            _sent(Path(folder) / task.item.name, task)
            return report
    working, place = Path(task.out) / WORKING, Path(task.out) / task.item.name
    report = _made_in(working, task, make)
    try:
        if place.is_dir():
            shutil.rmtree(place)
        (working / task.item.name).replace(place)
    except OSError as error:
        raise BadInput(f"{place} cannot be written ({error.strerror or error}).\nFree the place.") from error
    return report


def _made_in(working: Path, task: Task, make: Callable[[Order], Report]) -> Report:
    out = working / task.item.name
    with tempfile.TemporaryDirectory(prefix="epimesh-photo-") as folder:
        photo = _fetched(task.item.source, Path(folder))
        report = make(
            Order(
                photo=photo,
                out=out,
                settings=task.settings,
                seed=task.seed,
                device=task.device,
                formats=task.formats,
                policy=task.policy,
            )
        )
    report["files"] = [Path(name).name for name in report["files"]]  # wherever the result will lie
    with atomic_file(out / "run.json") as unfinished:
        unfinished.write_text(json.dumps(report, indent=1), encoding="utf-8")
    if not task.keep_stages:
        for stage in (folder for slot in SLOTS for folder in out.glob(f"[0-9]-{slot}-*")):
            shutil.rmtree(stage, ignore_errors=True)
    return report


def _fetched(source: str, folder: Path) -> Path:
    """The photo as a file of this machine."""
    if not is_address(source):
        return Path(source)
    fs, path = filesystem(source)
    photo = folder / (path.rpartition("/")[2] or "photo")
    try:
        fs.get_file(path, str(photo))
    except Exception as error:  # every file system raises kinds of its own
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"{source} cannot be read ({type(error).__name__}: {reason}).\nCheck the address.") from error
    return photo


def _sent(result: Path, task: Task) -> None:
    """Sends a result to an address, its report last: what has no run.json is not whole."""
    fs, base = filesystem(task.out)
    names = sorted((one for one in result.rglob("*") if one.is_file()), key=lambda one: one.name == "run.json")
    try:
        for one in names:
            target = f"{base.rstrip('/')}/{task.item.name}/{one.relative_to(result).as_posix()}"
            fs.makedirs(target.rpartition("/")[0], exist_ok=True)
            fs.put_file(str(one), target)
    except Exception as error:  # every file system raises kinds of its own
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"{task.out} cannot be written ({type(error).__name__}: {reason}).") from error
