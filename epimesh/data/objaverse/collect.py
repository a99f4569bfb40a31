"""Turns chosen objects into a folder that `epimesh render` reads: GLBs in this package's frame, and manifest.csv."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from epimesh.data.glb_frame import write_in_frame
from epimesh.data.objaverse.annotation import Annotation
from epimesh.data.objaverse.choice import split_of
from epimesh.data.objaverse.download import download
from epimesh.errors import BadInput
from epimesh.files.meshes import write_whole

_COLUMNS = ("id", "file", "split", "hard", "licence", "attribution", "family", "realistic", "source", "faces")


@dataclass(frozen=True, kw_only=True)
class CollectJob:
    """One object to get.

    Args:
        annotation: which, and whom to name.
        part: the part of the data set that holds it.
        address: where its file is published.
        out: folder of the collection.
        keep_originals: keep the file as it was published too.
    """

    annotation: Annotation
    part: str
    address: str
    out: Path
    keep_originals: bool = False

    @property
    def id(self) -> str:
        """Its uid."""
        return self.annotation.uid

    @property
    def file(self) -> Path:
        """Its file within the collection."""
        return Path("glb", self.part, f"{self.id}.glb")

    @property
    def is_done(self) -> bool:
        """True if its file is there."""
        return (self.out / self.file).is_file()


def collect(job: CollectJob) -> None:
    """Downloads an object and writes it in this package's frame, whole or not at all.

    Raises:
        BadInput: it cannot be downloaded, or it is damaged or empty; then the download is removed.
    """
    original = job.out / "originals" / job.part / f"{job.id}.glb"
    download(job.address, original)
    notice = f"{job.annotation.attribution}, {job.annotation.licence}"
    try:
        write_in_frame(original, job.out / job.file, notice)
    except BadInput:
        original.unlink()
        raise
    if not job.keep_originals:
        original.unlink()


def write_manifest(jobs: Sequence[CollectJob], out: Path) -> int:
    """Writes manifest.csv with those of the objects that are there; returns how many.

    Nothing is known about near duplicates, so every object is a family of its own, and none is marked as hard.
    """
    text = io.StringIO()
    table = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    table.writeheader()
    done = [job for job in jobs if job.is_done]
    for job in done:
        annotation = job.annotation
        table.writerow(
            {
                "id": job.id,
                "file": job.file.as_posix(),
                "split": split_of(job.id),
                "hard": 0,
                "licence": annotation.licence,
                "attribution": annotation.attribution,
                "family": job.id,
                "realistic": int(annotation.scanned),
                "source": annotation.page,
                "faces": annotation.faces,
            }
        )
    write_whole({out / "manifest.csv": text.getvalue().encode()})
    return len(done)
