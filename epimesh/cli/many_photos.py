"""Many photos with one command: a line per photo, a failure stops no other, what is done is not done again."""

import csv
import io
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageSequence

from epimesh import __version__
from epimesh.errors import BadInput, EpimeshError
from epimesh.files.atomic import output_file
from epimesh.pipeline.image_to_3d import photo_key
from epimesh.pipeline.out_folder import folder_for

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif")
SUMMARY, SHEET = "summary.csv", "contact.jpg"
_TILE = 160  # pixels
_SHOWN = (0, 6, 12)  # of the turntable's 24 frames: front, side, back
_MOST_ON_SHEET = 200  # photos; more would not fit a JPEG, and nobody scrolls so far

Make = Callable[[Path, Path], dict[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """What became of one photo.

    Args:
        photo: the file.
        status: "made", "kept" (an earlier run made it) or "failed".
        seconds: of this run.
        report: its run.json, or empty.
        error: why it failed, on one line.
    """

    photo: Path
    status: str
    seconds: float
    report: dict[str, Any]
    error: str = ""

    def line(self) -> str:
        """For people."""
        shown = self.error if self.status == "failed" else self.report["files"][0]
        return f"{self.photo.name:<24} {self.status:<7} {self.seconds:6.1f} s  {shown}"

    def row(self) -> dict[str, Any]:
        """For tables."""
        kept = {name: self.report.get(name, "") for name in ("faces", "shown_share", "unseen_share")}
        mesh = self.report["files"][0] if self.report else ""
        return {
            "photo": str(self.photo),
            "status": self.status,
            "seconds": round(self.seconds, 1),
            "mesh": mesh,
            **kept,
            "warnings": len(self.report.get("warnings", [])),
            "error": self.error,
        }


def photos_in(typed: Sequence[Path]) -> list[Path]:
    """The photos that were typed, and those in the folders that were, by name; each once.

    Raises:
        BadInput: a folder holds none.
    """
    found: list[Path] = []
    for path in typed:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(
            one for one in path.iterdir() if one.suffix.lower() in PICTURES and one.is_file() and one.name[0] != "."
        )
        if not inside:
            raise BadInput(f"The folder {path} holds no photo.\nExpected files that end with {', '.join(PICTURES)}.")
        found += inside
    return list(dict.fromkeys(found))


def run_many(
    photos: Sequence[Path], runs: Path, settings: str | None, make: Make, say: Callable[[str], None]
) -> list[Outcome]:
    """Makes every photo's mesh in a folder of its own under `runs`, with a table and a sheet of pictures.

    Args:
        photos: the files.
        runs: where the folders lie; `summary.csv` and `contact.jpg` are written there.
        settings: of the run, as config.yaml keeps them; a result of the same ones is kept. None keeps no result.
        make: makes the mesh of a photo in a folder, and returns its report.
        say: hears a line per photo.
    """
    outcomes: list[Outcome] = []
    for number, photo in enumerate(photos, 1):
        outcomes.append(_outcome(photo, runs, settings, make))
        say(f"{number:>{len(str(len(photos)))}}/{len(photos)}  {outcomes[-1].line()}")
        _write_summary(outcomes, runs / SUMMARY)
    _write_sheet([one for one in outcomes if one.report][:_MOST_ON_SHEET], runs / SHEET)
    failed = [one for one in outcomes if one.status == "failed"]
    say(f"{len(outcomes) - len(failed)} of {len(outcomes)} photos became meshes: {runs / SUMMARY}, {runs / SHEET}")
    for one in failed:
        say(f"  failed: {one.photo}: {one.error}")
    return outcomes


def _outcome(photo: Path, runs: Path, settings: str | None, make: Make) -> Outcome:
    started = time.perf_counter()
    try:
        key = photo_key(photo)
        out = folder_for(photo.stem, key, runs)
        report = _made_before(out, key, settings)
        status = "made" if report is None else "kept"
        report = report or make(photo, out)
    except Exception as error:  # also a bug that one photo of hundreds shows: the others go on
        return Outcome(photo, "failed", time.perf_counter() - started, {}, _one_line(error))
    return Outcome(photo, status, time.perf_counter() - started, report)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return (
        text
        if isinstance(error, EpimeshError)
        else f"{type(error).__name__}: {text} (a bug; run this photo alone to see more)"
    )


def _made_before(out: Path, key: str, settings: str | None) -> dict[str, Any] | None:
    """The report of an earlier run of the same photo, settings and version whose files are all there."""
    try:
        report: dict[str, Any] = json.loads((out / "run.json").read_text(encoding="utf-8"))
        same = report["photo_sha256"] == key and report["epimesh"] == __version__
        same = same and (out / "config.yaml").read_text(encoding="utf-8") == settings
        return report if same and all(Path(file).is_file() for file in report["files"]) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_summary(outcomes: Sequence[Outcome], path: Path) -> None:
    buffer = io.StringIO()
    table = csv.DictWriter(buffer, list(outcomes[0].row()), lineterminator="\n")
    table.writeheader()
    table.writerows(outcome.row() for outcome in outcomes)
    with output_file(path) as unfinished:
        unfinished.write_text(buffer.getvalue(), encoding="utf-8")


def _write_sheet(outcomes: Sequence[Outcome], path: Path) -> None:
    """A row per photo: its name, the cut-out, and the mesh from the front, a side and behind."""
    if not outcomes:
        return
    height = _TILE + 16
    sheet = Image.new("RGB", (_TILE * (1 + len(_SHOWN)), height * len(outcomes)), "white")
    for row, outcome in enumerate(outcomes):
        ImageDraw.Draw(sheet).text((4, row * height + 2), outcome.photo.name, fill="black")
        for column, picture in enumerate(_pictures(Path(outcome.report["files"][0]))):
            sheet.paste(picture, (column * _TILE, row * height + 16))
    with output_file(path) as unfinished:
        sheet.save(unfinished, format="JPEG", quality=90)


def _pictures(mesh: Path) -> list[Image.Image]:
    with Image.open(mesh.parent / "cutout.png") as opened:
        photo = opened.convert("RGBA")
    white = Image.new("RGBA", photo.size, "white")
    with Image.open(mesh.with_suffix(".webp")) as turning:
        frames = [
            frame.convert("RGB") for index, frame in enumerate(ImageSequence.Iterator(turning)) if index in _SHOWN
        ]
    return [one.convert("RGB").resize((_TILE, _TILE)) for one in (Image.alpha_composite(white, photo), *frames)]
