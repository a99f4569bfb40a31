"""`epimesh run`: from a photo to a textured mesh."""

import json
from typing import TYPE_CHECKING

from epimesh.cli.paths import typed_path
from epimesh.cli.progress import Terminal

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from epimesh.pipeline.image_to_3d import ImageTo3D

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
  epimesh run chair.jpg --views.help SmallZero123                 the settings of a stage

shortcuts: --mask FILE  --elevation DEGREES  --steps N  --faces N  --texture-size PIXELS
"""


def _parser() -> "ArgumentParser":
    from argparse import RawDescriptionHelpFormatter
    from typing import Literal

    from jsonargparse import ArgumentParser, DefaultHelpFormatter

    from epimesh.pipeline.image_to_3d import SLOTS, ImageTo3D
    from epimesh.pipeline.parser import add_pipeline_arguments

    class Formatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
        """Keeps the line breaks of the description."""

    parser = ArgumentParser(
        prog="epimesh run", description=_DESCRIPTION, exit_on_error=False, formatter_class=Formatter
    )
    parser.add_argument("photo", type=str, help="the photo: JPEG, PNG, WebP (HEIC with epimesh[heic])")
    parser.add_argument(
        "--out",
        type=str | None,
        default=None,
        help="output folder (default: runs/NAME, or runs/NAME-2 if another photo's result is there)",
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same result")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument(
        "--precision",
        type=Literal["auto", "fp32", "fp16", "bf16"],
        default="auto",
        help="of the networks; auto is fp16 on a GPU, fp32 on a CPU",
    )
    parser.add_argument(
        "--max-memory",
        dest="max_memory",
        type=str | None,
        default=None,
        help="e.g. 4GB: SyncDreamer and EpipolarDecoder then run fewer views at once, with the same result (other "
        "stages ignore it)",
    )
    parser.add_argument(
        "--from",
        dest="redo_from",
        type=str | None,
        default=None,
        help=f"make this slot and all later ones again: {', '.join(SLOTS)}",
    )
    parser.add_argument(
        "--formats", type=list[str], default=["glb"], help="files to write, e.g. [glb,obj,stl]: glb obj ply stl usd"
    )
    parser.add_argument("--json", action="store_true", help="print the content of run.json on stdout, no progress")
    parser.add_argument(
        "--license-policy",
        dest="license_policy",
        type=Literal["any", "commercial"],
        default="any",
        help="commercial refuses weights whose licence does not let results be sold",
    )
    parser.add_argument("--download", action="store_true", help="fetch published weights that are missing, then run")
    parser.add_argument("--yes", action="store_true", help="with --download: do not ask")
    parser.add_argument("--accept-licence", dest="accepted", type=str | None, default=None, help="with --download")
    add_pipeline_arguments(parser, ImageTo3D)
    return parser


def _download(pipeline: "ImageTo3D", accepted: str | None, yes: bool) -> None:
    """Fetches the published models that the pipeline names and that are not here."""
    from epimesh.cli.weights import get
    from epimesh.pipeline.fingerprint import weights_of
    from epimesh.pipeline.image_to_3d import SLOTS
    from epimesh.weights import published

    stages = [stage for slot in SLOTS if (stage := getattr(pipeline, slot)) is not None]
    sources = [source for stage in stages for source in weights_of(stage)]
    named = [source.partition(":")[2].partition("/")[0] for source in sources if source.startswith("published:")]
    for name in dict.fromkeys(named):
        if not published.folder_of(name).is_dir():
            get(name, accepted=accepted, yes=yes)


def main(arguments: list[str]) -> int:
    """Runs the pipeline on one photo. Returns 0 only if a valid asset was written."""
    from epimesh.pipeline.image_to_3d import ImageTo3D, photo_key
    from epimesh.pipeline.licences import check_policy
    from epimesh.pipeline.out_folder import folder_for
    from epimesh.pipeline.parser import as_preset, parse, pipeline_of
    from epimesh.pipeline.session import Session
    from epimesh.runtime import Runtime, bytes_of

    parser = _parser()
    config = parse(parser, arguments)
    pipeline = pipeline_of(parser, config, ImageTo3D)
    check_policy(pipeline, config.license_policy)
    if config.download:
        _download(pipeline, config.accepted, config.yes)
    photo = typed_path(config.photo)
    out = typed_path(config.out) if config.out else folder_for(photo.stem, photo_key(photo))
    terminal = Terminal(quiet=config.json)
    limit = bytes_of(config.max_memory)
    runtime = Runtime(config.device, config.seed, terminal, config.precision, limit)
    session = Session(out, runtime, formats=config.formats, policy=config.license_policy)
    session.check(config.redo_from)

    settings = parser.dump(as_preset(config), skip_none=False, skip_validation=True)
    report = session.photo_to_mesh(pipeline, photo, redo_from=config.redo_from, settings=settings, say=terminal.say)
    print(json.dumps(report) if config.json else f"{report['files'][0]}")
    return 0
