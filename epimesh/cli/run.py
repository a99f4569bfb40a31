"""`epimesh run`: from a photo to a textured mesh."""

import json
import sys
from typing import TYPE_CHECKING

from epimesh import __version__
from epimesh.cli.early import check_device, check_disk, check_slot, deliver, out_and_file, readable_photo
from epimesh.cli.pipeline_options import PipelineCommand, add_precision
from epimesh.files.formats import known_formats
from epimesh.pipeline.preset_file import SLOTS
from epimesh.pipeline.presets import DEFAULT

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from epimesh.pipeline.image_to_3d import ImageTo3D

_WORDS = """usage: epimesh run PHOTO [options]
A photo of one object becomes a textured mesh: runs/NAME/NAME.glb, with a turntable beside it."""

_DESCRIPTION = """Turns a photo of one object into a textured mesh.

Writes OUT/NAME.glb (metres, +Y up, front towards +Z), NAME.webp (turntable), views.png (what the other sides were
imagined to look like), run.json (seconds, memory, versions, seed, licences), and one folder per stage. Stopped or
changed runs go on where they can: a stage whose settings and inputs are the same is not computed again.

examples:
  epimesh run chair.jpg                                      the default preset
  epimesh run chair.jpg --mask chair_mask.png --faces 5000   your own mask, 5000 triangles
  epimesh run chair.jpg --preset fast                        a first look in seconds
  epimesh run chair.jpg --views.steps 20 --texture.size 2048 any setting of any stage
  epimesh run chair.jpg --decode my_lab.TheirDecoder         a stage of your own, by class path
  epimesh run chair.jpg --formats glb obj                    more files
  epimesh run --views.help SmallZero123                      the settings of a stage

shortcuts: --mask FILE  --elevation DEGREES  --steps N  --faces N  --texture-size PIXELS
"""


def _add_own(parser: "ArgumentParser") -> None:
    parser.add_argument("photo", type=str, help="the photo: JPEG, PNG, WebP (HEIC with 'epimesh[heic]')")
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
    rare=("photo", "precision", "max_memory", "yes", "accepted", "verbose", "json"),
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


def main(arguments: list[str]) -> int:
    """Runs the pipeline on one photo. Returns 0 only if a valid asset was written."""
    early = COMMAND.early(arguments)
    if early is None:
        return 0
    typed, arguments = early
    photo = readable_photo(typed.photo)
    out, file = out_and_file(typed.out)
    check_device(typed.device)
    check_slot(typed.redo_from, SLOTS)
    known_formats(typed.formats)
    check_disk(out or photo.parent)
    if not (typed.json or typed.quiet):
        print(f"epimesh {__version__}: {photo.name}", file=sys.stderr, flush=True)

    from epimesh.cli.progress import Terminal
    from epimesh.pipeline.image_to_3d import ImageTo3D, photo_key
    from epimesh.pipeline.out_folder import folder_for
    from epimesh.pipeline.parser import as_preset, parse, pipeline_of
    from epimesh.pipeline.session import Session
    from epimesh.runtime import Runtime, bytes_of

    parser = COMMAND.parser()
    config = parse(parser, arguments)
    pipeline = pipeline_of(parser, config, ImageTo3D)
    if config.download:
        _download(pipeline, config.accepted, config.yes)
    out = out or folder_for(photo.stem, photo_key(photo))
    terminal = Terminal(quiet=config.json or config.quiet)
    runtime = Runtime(config.device, config.seed, terminal, config.precision, bytes_of(config.max_memory))
    session = Session(out, runtime, formats=config.formats if file is None else [file.suffix])
    session.check(config.redo_from)

    settings = parser.dump(as_preset(config), skip_none=False, skip_validation=True)
    if config.verbose:
        terminal.say(settings)
    report = session.photo_to_mesh(pipeline, photo, redo_from=config.redo_from, settings=settings, say=terminal.say)
    made = report["files"][0] if file is None else str(deliver(out, file))
    print(json.dumps(report) if config.json else made)
    return 0
