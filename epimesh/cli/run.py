"""`epimesh run`: from a photo to a textured mesh."""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epimesh import __version__
from epimesh.cli.early import check_device, check_disk, check_slot, deliver, out_and_file, readable_photos
from epimesh.cli.export_options import add_export_options, export_settings
from epimesh.cli.pipeline_options import PipelineCommand, add_precision
from epimesh.errors import BadInput
from epimesh.files.formats import known_formats
from epimesh.pipeline.preset_file import SLOTS
from epimesh.pipeline.presets import DEFAULT

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from epimesh.cli.progress import Terminal
    from epimesh.files.meshes import ExportSettings
    from epimesh.pipeline.image_to_3d import ImageTo3D
    from epimesh.pipeline.licences import Policy
    from epimesh.runtime import Runtime

_WORDS = """usage: epimesh run PHOTO... [options]
A photo of one object becomes a textured mesh: runs/NAME/NAME.glb, with a turntable and a page beside it."""

_DESCRIPTION = """Turns a photo of one object into a textured mesh.

Writes OUT/NAME.glb (metres, +Y up, front towards +Z), NAME.html (turns in any browser, without a network), NAME.webp
(turntable), views/ and views.png (what the other sides were imagined to look like, with their cameras), run.json
(seconds, memory, versions, seed, licences), and one folder per stage. Stopped or changed runs go on where they can: a
stage whose settings and inputs are the same is not computed again.

Of several photos, each has a folder of its own under OUT (default: runs), beside summary.csv and contact.jpg. Models
are loaded once, failures are told at the end (exit code 1), and the same command goes on after a stop.

examples:
  epimesh run chair.jpg                                      the default preset
  epimesh run chair.jpg --mask chair_mask.png --faces 5000   your own mask, 5000 triangles
  epimesh run chair.jpg --preset fast                        a first look in seconds
  epimesh run a.jpg b.jpg photos/ --out results              many photos
  epimesh run chair.jpg --height 120mm --origin ground       for a printer: with --formats stl 3mf
  epimesh run chair.jpg --views.steps 20 --texture.size 2048 any setting of any stage
  epimesh run chair.jpg --decode my_lab.TheirDecoder         a stage of your own, by class path
  epimesh run --views.help SmallZero123                      the settings of a stage

shortcuts: --mask FILE  --elevation DEGREES  --steps N  --faces N  --texture-size PIXELS
"""


def _add_own(parser: "ArgumentParser") -> None:
    parser.add_argument(
        "photo", type=str, nargs="+", help="photos, or folders of them: JPEG, PNG, WebP (HEIC with 'epimesh[heic]')"
    )
    add_export_options(parser)
    add_precision(parser)
    parser.add_argument("--download", action="store_true", help="fetch published weights that are missing, then run")
    parser.add_argument("--yes", action="store_true", help="with --download: do not ask")
    parser.add_argument("--accept-licence", dest="accepted", type=str | None, default=None, help="with --download")


COMMAND = PipelineCommand(
    name="run",
    words=_WORDS,
    description=_DESCRIPTION,
    slots=SLOTS,
    preset=DEFAULT,
    add_own=_add_own,
    rare=(
        "photo",
        "texture_format",
        "compress",
        "precision",
        "max_memory",
        "yes",
        "accepted",
        "verbose",
        "json",
    ),
    shortcuts="  --mask FILE  --elevation DEGREES  --steps N  --faces N  --texture-size PIXELS",
)


def _download(pipeline: "ImageTo3D", accepted: str | None, yes: bool) -> None:
    """Fetches the published models that the pipeline names and that are not here."""
    from epimesh.cli.weights import get
    from epimesh.pipeline.fingerprint import weights_of
    from epimesh.weights import published

    stages = [stage for slot in SLOTS if (stage := getattr(pipeline, slot)) is not None]
    sources = [source for stage in stages for source in weights_of(stage)]
    named = [source.partition(":")[2].partition("/")[0] for source in sources if source.startswith("published:")]
    for name in dict.fromkeys(named):
        if not published.folder_of(name).is_dir():
            get(name, accepted=accepted, yes=yes)


@dataclass(frozen=True)
class Job:
    """What is done with every photo.

    Args:
        pipeline: its stages keep what they load if `runtime` says so.
        runtime: device and seed; every photo has a reporter of its own.
        formats: of mesh files.
        export: where and how large the mesh stands in them.
        redo_from: the slot from which on saved outputs are made again.
        settings: of the run, as config.yaml keeps them.
        policy: what the licences of all weights have to allow.
    """

    pipeline: "ImageTo3D"
    runtime: "Runtime"
    formats: list[str]
    export: "ExportSettings"
    redo_from: str | None
    settings: str
    policy: "Policy"

    def check(self, out: Path) -> None:
        """Refuses what cannot work before anything is computed, and says once what all photos lack."""
        from epimesh.pipeline.licences import weights_and_licences
        from epimesh.pipeline.session import Session

        Session(out, self.runtime, self.formats, self.export).check(self.redo_from)
        weights_and_licences(self.pipeline)

    def make(self, photo: Path, out: Path, terminal: "Terminal") -> dict[str, Any]:
        """The mesh of one photo in its folder. Returns its report."""
        from epimesh.pipeline.session import Session

        session = Session(out, replace(self.runtime, reporter=terminal), self.formats, self.export, policy=self.policy)
        return session.photo_to_mesh(
            self.pipeline, photo, redo_from=self.redo_from, settings=self.settings, say=terminal.say
        )


def main(arguments: list[str]) -> int:
    """Runs the pipeline. Returns 0 only if a valid asset of every photo was written, 1 if some of several failed."""
    early = COMMAND.early(arguments)
    if early is None:
        return 0
    typed, arguments = early
    given = readable_photos(typed.photo)
    out, file = out_and_file(typed.out)
    check_device(typed.device)
    check_slot(typed.redo_from, SLOTS)
    known_formats(typed.formats)
    check_disk(out or Path("runs"))
    if not (typed.json or typed.quiet):
        print(f"epimesh {__version__}: {' '.join(path.name for path in given)}", file=sys.stderr, flush=True)

    from epimesh.cli.many_photos import photos_in

    photos = photos_in(given)
    many = len(photos) > 1 or given[0].is_dir()
    if many and file is not None:
        raise BadInput(f"--out {file} is one file, but there are {len(photos)} photos.\nExpected a folder for them.")
    job, config = _job(arguments, many, file)
    job.check(out or Path("runs"))
    if many:
        return _many(job, photos, out, config)
    report = _one(job, photos[0], out, quiet=config.json or config.quiet)
    made = report["files"][0] if file is None or out is None else str(deliver(out, file))
    print(json.dumps(report) if config.json else made)
    return 0


def _job(arguments: list[str], many: bool, file: Path | None) -> "tuple[Job, Namespace]":
    """What is done with every photo, and all settings."""
    from epimesh.pipeline.image_to_3d import ImageTo3D
    from epimesh.pipeline.licences import check_policy
    from epimesh.pipeline.parser import as_preset, parse, pipeline_of
    from epimesh.runtime import Runtime, bytes_of

    parser = COMMAND.parser()
    config = parse(parser, arguments)
    pipeline = pipeline_of(parser, config, ImageTo3D)
    check_policy(pipeline, config.license_policy)
    if config.download:
        _download(pipeline, config.accepted, config.yes)
    runtime = Runtime(
        config.device, config.seed, precision=config.precision, max_memory_bytes=bytes_of(config.max_memory)
    )
    settings = parser.dump(as_preset(config), skip_none=False, skip_validation=True)
    if config.verbose:
        print(settings, file=sys.stderr)
    job = Job(
        pipeline,
        replace(runtime, keep_models=many),
        config.formats if file is None else [file.suffix],
        export_settings(config),
        config.redo_from,
        settings,
        config.license_policy,
    )
    return job, config


def _one(job: Job, photo: Path, out: Path | None, *, quiet: bool) -> dict[str, Any]:
    from epimesh.cli.progress import Terminal
    from epimesh.pipeline.image_to_3d import photo_key
    from epimesh.pipeline.out_folder import folder_for, refuse_others

    key = photo_key(photo)
    folder = out or folder_for(photo.stem, key)
    refuse_others(folder, key)
    return job.make(photo, folder, Terminal(quiet=quiet))


def _many(job: Job, photos: list[Path], out: Path | None, config: "Namespace") -> int:
    from epimesh.cli.many_photos import run_many
    from epimesh.cli.progress import Terminal

    if getattr(config.read.init_args, "mask", None) is not None:
        raise BadInput(
            f"One --mask was given for {len(photos)} photos.\nExpected one photo with it: a mask fits no other."
        )
    outcomes = run_many(
        photos,
        out or Path("runs"),
        job.settings if config.redo_from is None else None,
        lambda photo, folder: job.make(photo, folder, Terminal(quiet=True)),
        Terminal(quiet=config.json or config.quiet).say,
    )
    job.pipeline.release()
    if config.json:
        print(json.dumps([outcome.report or outcome.row() for outcome in outcomes]))
    else:
        print("\n".join(outcome.report["files"][0] for outcome in outcomes if outcome.report))
    return 1 if any(outcome.status == "failed" for outcome in outcomes) else 0
