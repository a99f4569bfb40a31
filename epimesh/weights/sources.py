"""Finds model weights: shipped with the package, on disk, or on the Hugging Face hub; as diffusers-style folders."""

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from epimesh.errors import WeightsNotFound
from epimesh.weights import published

BUNDLED = Path(str(files("epimesh"))) / "bundled"


def resolve(source: str, parts: Sequence[str] = ()) -> Path:
    """The folder that holds the weights named by `source`.

    Args:
        source: `bundled:NAME`, `hub:OWNER/NAME[/FOLDER][@REVISION]`, `published:NAME[/PART]` for what
            `epimesh weights get` or `epimesh convert` made, or a folder.
        parts: folders that have to be in it, alternative names separated by |. Of a `hub:` repository that lacks one
            nothing is downloaded, and of others only these.

    Raises:
        WeightsNotFound: nothing is there; the message lists what would have worked.
    """
    kind, _, name = source.partition(":")
    if kind == "hub" and name:
        return _from_hub(name, parts)
    if kind == "published" and name:
        return _converted(name)
    folder = BUNDLED / name if kind == "bundled" else Path(source).expanduser()
    if not folder.is_dir():
        shipped = ", ".join(sorted(f"bundled:{path.name}" for path in BUNDLED.iterdir() if path.is_dir())) or "none"
        raise WeightsNotFound(
            f"No weights at '{source}' (looked in {folder}).\n"
            f"Use a folder in diffusers format, 'hub:OWNER/NAME', or one that ships with epimesh: {shipped}."
        )
    return folder


def _from_hub(name: str, parts: Sequence[str]) -> Path:
    """Only what can be read is downloaded: configurations, and one version of the weights of every folder."""
    from epimesh.downloads import choice, hub

    source = hub.HubSource.parsed(name)
    if hub.offline() and (here := hub.cached(source)):
        return here
    files = hub.listed(source)
    return hub.snapshot(source, choice.parts(files, parts, str(source)) if parts else choice.readable(files))


def _converted(name: str) -> Path:
    folder = published.folder_of(name)
    if not folder.is_dir():
        raise WeightsNotFound(f"{name} is not here (looked in {folder}).\n{published.how_to_get(name)}")
    return folder


def source_of(file: Path) -> str:
    """How reports name a single file of weights: `bundled:NAME` if it ships with the package, else its path."""
    return f"bundled:{file.parent.name}" if file.parent.parent == BUNDLED else str(file)


def identity(source: str, parts: Sequence[str] = ()) -> str:
    """A short name for exactly these weights, for the fingerprint of a stage: the hash of every file's content."""
    folder = resolve(source, parts)
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".json", ".safetensors", ".onnx"}:
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(_content(path))
    return digest.hexdigest()[:16]


def _content(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**24):  # weights may be larger than the memory
            digest.update(block)
    return digest.digest()
