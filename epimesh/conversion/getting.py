"""Published weights from the hub into a folder that presets read: whole or not at all, checked file by file."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from epimesh.conversion.checkpoint import open_checkpoint
from epimesh.conversion.convert import plan_syncdreamer, plan_zero123, refuse_existing, write
from epimesh.conversion.writing import write_safetensors
from epimesh.data.objaverse.download import download
from epimesh.downloads import choice, hub
from epimesh.errors import BadInput, BadWeights, WeightsNotFound
from epimesh.weights.published import Published, Remote, home

_SPARE = 2**28  # bytes that a disk is left with


@dataclass(frozen=True, eq=False)
class Order:
    """What will be downloaded for a published model.

    Args:
        name: of the model.
        known: what is known of it.
        files: from each of its places on the hub.
    """

    name: str
    known: Published
    files: tuple[tuple[Remote, tuple[hub.HubFile, ...]], ...]

    @property
    def download_bytes(self) -> int:
        """Size of the download, as the hub lists it."""
        if self.known.url:
            return round(self.known.gigabytes * 1e9)
        return sum(file.size for _, files in self.files for file in files)

    @property
    def disk_bytes(self) -> int:
        """Largest space that is needed at once; checkpoints are removed only after they were converted."""
        converted = self.known.converted_gigabytes * 1e9 if self.known.command else 0
        pickled = sum(file.size for _, files in self.files for file in files if file.name.endswith(".bin"))
        return round(self.download_bytes + converted + pickled)

    @property
    def waiting(self) -> Path:
        """Where files wait until all are there."""
        return home() / f".{self.name}.download"

    @property
    def folder(self) -> Path:
        """Where the weights will be."""
        return home() / self.name


def ordered(name: str, known: Published, *, half: bool) -> Order:
    """Looks up which files there are and which are needed. Nothing is downloaded.

    Raises:
        BadInput: the weights are here already.
        WeightsNotFound: the hub cannot be asked.
        BadWeights: it does not hold what it should.
    """
    refuse_existing(home() / name)
    if known.url and hub.offline():
        raise WeightsNotFound(
            f"'{known.url}' would have to be downloaded, but HF_HUB_OFFLINE forbids it.\n"
            "Unset it, or give a folder that is here already."
        )
    return Order(name, known, tuple((remote, tuple(_needed(remote, half))) for remote in known.remotes))


def _needed(remote: Remote, half: bool) -> list[hub.HubFile]:
    files = hub.listed(hub.HubSource(remote.repository))
    if not remote.file:
        return choice.parts(files, remote.parts, remote.repository, half=half, pickled=True)
    found = [file for file in files if file.name == remote.file]
    if not found:
        raise BadWeights(
            f"{remote.repository} no longer holds {remote.file}; it has: "
            f"{', '.join(file.name for file in files[:8])}.\nDownload it from its publisher and use epimesh convert."
        )
    return found


def check_disk(order: Order) -> None:
    """Refuses what will not fit.

    Raises:
        BadInput: there is too little space.
    """
    home().mkdir(parents=True, exist_ok=True)
    have = sum(file.stat().st_size for file in order.waiting.rglob("*") if file.is_file())
    free, needed = shutil.disk_usage(home()).free, order.disk_bytes - have + _SPARE
    if free < needed:
        raise BadInput(
            f"{order.name} needs {needed / 1e9:.1f} GB of disk, but {home()} has {free / 1e9:.1f} GB free.\n"
            "Make room, or set EPIMESH_WEIGHTS to a folder on a larger disk. Nothing was downloaded."
        )


def get(order: Order, *, half: bool, say: Callable[[str], None]) -> Path:
    """Downloads, checks, and converts what has to be converted. A stopped download goes on where it was.

    Raises:
        BadInput: the disk is too small, or a file from elsewhere than the hub cannot be had.
        WeightsNotFound: a file cannot be had.
        BadWeights: a file does not have the content that the hub lists, or is of another model.
    """
    check_disk(order)
    waiting, made = order.waiting, home() / f".{order.name}.unfinished"
    if order.known.url:
        download(order.known.url, waiting / order.known.file)
    for remote, files in order.files:
        hub.fetch(hub.HubSource(remote.repository), files, waiting / remote.repository)
    say("everything is here and has the size and checksum that its hub lists" if order.files else "everything is here")
    shutil.rmtree(made, ignore_errors=True)
    try:
        _make(order, made, half)
        made.rename(order.folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    shutil.rmtree(waiting)
    return order.folder


def _make(order: Order, made: Path, half: bool) -> None:
    dtype = torch.float16 if half else torch.float32
    if order.known.command:
        place = order.waiting / (order.known.remotes[0].repository if order.known.remotes else "")
        _convert(order.known, place / order.known.file, made, dtype)
        return
    for remote, files in order.files:
        for file in files:
            path = order.waiting / remote.repository / file.name
            target = made / (remote.becomes or file.folder)
            target.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".bin":
                _unpickle(path, target / _new_name(path.name), dtype)
            elif file.name != "README.md":
                path.rename(target / path.name)
    (made / "README.md").write_text(card(order.known, f"epimesh weights get {order.name}"))


def _convert(known: Published, checkpoint: Path, made: Path, dtype: torch.dtype) -> None:
    tensors = open_checkpoint(checkpoint)
    make = plan_syncdreamer if known.command == "syncdreamer" else plan_zero123
    plan = make(tensors, checkpoint.name)
    write(plan, tensors, made, card(known, f"epimesh convert {known.command} {checkpoint.name}"), dtype)


def _unpickle(path: Path, target: Path, dtype: torch.dtype) -> None:
    """Weights out of a file that could hold code; it is refused if it does."""
    tensors = open_checkpoint(path)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    write_safetensors(target, shapes, tensors.__getitem__, dtype)


def _new_name(name: str) -> str:
    stem = name.removesuffix(".bin")
    return f"{'model' if stem == 'pytorch_model' else stem}.safetensors"


def card(known: Published, command: str) -> str:
    """The model card of a folder that was made here."""
    return f"---\nlicense: {known.licence}\n---\n\nMade by `{command}`.\nThe weights are published at {known.page}.\n"
