"""Talks to the Hugging Face hub, or to the mirror that HF_ENDPOINT names: what a repository holds, and its files."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from epimesh.errors import BadWeights, EpimeshError, WeightsNotFound

_BLOCK = 2**24


@dataclass(frozen=True)
class HubSource:
    """A repository of the hub, or a folder in it.

    Args:
        repository: OWNER/NAME.
        folder: inside the repository; empty for all of it.
        revision: branch, tag or commit; None is the newest.
    """

    repository: str
    folder: str = ""
    revision: str | None = None

    @classmethod
    def parsed(cls, text: str) -> "HubSource":
        """The source that `OWNER/NAME[/FOLDER][@REVISION]` names.

        Raises:
            WeightsNotFound: it does not have that form.
        """
        place, _, revision = text.partition("@")
        names = place.strip("/").split("/")
        if len(names) < 2 or not all(names) or ".." in names:
            raise WeightsNotFound(
                f"'hub:{text}' names no repository.\nExpected hub:OWNER/NAME, hub:OWNER/NAME/FOLDER, with @REVISION if "
                "it is not to be the newest."
            )
        return cls("/".join(names[:2]), "/".join(names[2:]), revision or None)

    def __str__(self) -> str:
        return (
            f"{self.repository}{'/' + self.folder if self.folder else ''}{'@' + self.revision if self.revision else ''}"
        )


@dataclass(frozen=True)
class HubFile:
    """A file of a repository, as the hub lists it.

    Args:
        name: path in the repository.
        size: in bytes.
        sha256: of its content; None for small files, of which the hub keeps another checksum.
    """

    name: str
    size: int
    sha256: str | None

    @property
    def folder(self) -> str:
        """Where it lies in the repository; empty at the top."""
        return self.name.rpartition("/")[0]


@cache
def described(source: HubSource) -> Any:
    """What the hub says of a repository, asked once."""
    from huggingface_hub import HfApi

    with _told(source):
        return HfApi(endpoint=_endpoint()).model_info(
            source.repository, revision=source.revision, files_metadata=True, timeout=30
        )


def licence(source: HubSource) -> str | None:
    """The licence that the model card states, or None.

    Raises:
        WeightsNotFound: not to be had: no such repository, gated, offline, no network.
    """
    card = described(source).card_data
    stated = card.get("license") if card else None
    return str(stated) if stated else None


def listed(source: HubSource) -> tuple[HubFile, ...]:
    """What the repository holds inside the source's folder. Nothing is downloaded.

    Raises:
        WeightsNotFound: not to be had: no such repository, gated, offline, no network.
        BadWeights: the folder is not in it.
    """
    info = described(source)
    inside = f"{source.folder}/" if source.folder else ""
    files = tuple(
        HubFile(one.rfilename, one.size or 0, one.lfs.sha256 if one.lfs else None)
        for one in info.siblings or []
        if one.rfilename.startswith(inside)
    )
    if not files:
        folders = sorted({one.rfilename.partition("/")[0] for one in info.siblings or [] if "/" in one.rfilename})
        raise BadWeights(
            f"{source.repository} holds no folder '{source.folder}'.\nIt has: {', '.join(folders) or 'no folders'}."
        )
    return files


def fetch(source: HubSource, files: Sequence[HubFile], into: Path) -> None:
    """Downloads files into `into`, under their names in the repository; goes on where it was stopped before.

    Raises:
        WeightsNotFound: not to be had, or not now.
        BadWeights: a file does not have the size or checksum that the hub lists; it is removed.
    """
    from huggingface_hub import hf_hub_url

    for file in files:
        path = into / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            url = hf_hub_url(source.repository, file.name, revision=source.revision, endpoint=_endpoint())
            with _told(source):
                _append_rest(url, file, path.with_name(f".{path.name}.part"))
            path.with_name(f".{path.name}.part").replace(path)
        _check(path, file, source)


def _append_rest(url: str, file: HubFile, part: Path) -> None:
    """The client's own downloads begin anew in every process, so what has arrived is kept here."""
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    part.touch()
    if part.stat().st_size > file.size:
        part.write_bytes(b"")
    with part.open("r+b") as stream:
        have = stream.seek(0, os.SEEK_END)
        if have < file.size:
            http_get(url, stream, resume_size=have, headers=build_hf_headers(), expected_size=file.size)


def snapshot(source: HubSource, files: Sequence[HubFile]) -> Path:
    """The folder of the source in the hub's own cache, with these files in it.

    Raises:
        WeightsNotFound: not to be had.
    """
    from huggingface_hub import snapshot_download

    with _told(source):
        whole = snapshot_download(
            source.repository,
            revision=source.revision,
            allow_patterns=[file.name for file in files],
            endpoint=_endpoint(),
        )
    return Path(whole) / source.folder


def cached(source: HubSource) -> Path | None:
    """The folder of the source in the hub's cache, if something of it is there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        whole = snapshot_download(source.repository, revision=source.revision, local_files_only=True)
    except LocalEntryNotFoundError:
        return None
    folder = Path(whole) / source.folder
    return folder if folder.is_dir() else None


def offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids downloads."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _check(path: Path, file: HubFile, source: HubSource) -> None:
    size = path.stat().st_size
    if size == file.size and (file.sha256 is None or _sha256(path) == file.sha256):
        return
    path.unlink()
    raise BadWeights(
        f"{file.name} of {source} arrived with {size} bytes and another content than the hub lists ({file.size} bytes, "
        f"sha256 {file.sha256}).\nIt was removed. Run the same command again; if that repeats, the mirror is broken."
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def _told(source: HubSource) -> Iterator[None]:
    """Errors of the hub's client as ours, each with what to do about it."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise WeightsNotFound(
            f"{source.repository} is gated: its publisher wants to know who downloads.\n"
            f"Accept its terms at https://huggingface.co/{source.repository}, make a token, run `hf auth login` (or set"
            " HF_TOKEN), and run this command again."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise WeightsNotFound(
            f"{source.repository} has no revision '{source.revision}'.\nExpected a branch, tag or commit."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise WeightsNotFound(
            f"There is no repository {source.repository}, or it is private.\nCheck the name; for a private one run "
            "`hf auth login`, or set HF_TOKEN."
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise WeightsNotFound(
            f"'{source}' would have to be downloaded, but HF_HUB_OFFLINE forbids it.\n"
            "Unset it, or give a folder that is here already."
        ) from error
    except EpimeshError:
        raise
    except Exception as error:  # the client raises many kinds, all of which mean: not to be had now
        reason = (str(error).splitlines() or [""])[0]
        raise WeightsNotFound(
            f"'{source}' could not be fetched ({type(error).__name__}: {reason}).\n"
            "Check the network (HF_ENDPOINT names a mirror) and run the same command again: it goes on where it was."
        ) from error
