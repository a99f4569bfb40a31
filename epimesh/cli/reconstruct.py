"""`epimesh reconstruct`: from posed views to a textured mesh."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from epimesh.cli.progress import Terminal

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from epimesh.runtime import Reporter
    from epimesh.views import Views

_DESCRIPTION = """Turns images with known cameras into a textured mesh.

FOLDER holds a transforms.json with its images (as nerfstudio and Blender's NeRF scenes write them; transparent or plain
background, or mask_path), or views saved by an earlier run, e.g. runs/chair/3-decode-1a2b3c4d5e.

Writes OUT/NAME.glb, NAME.webp (turntable), run.json, source_frame.json (where the mesh lies in the coordinates of the
cameras: source = mesh / scale + centre, z up), and one folder per stage. The reconstruct, mesh and texture slots of the
preset are used.

examples:
  epimesh reconstruct scans/mug --out runs/mug
  epimesh reconstruct scans/mug --faces 5000 --texture-size 2048
  epimesh reconstruct scans/mug --preset fast --fit never
"""


PRESET = "posed"  # views that were taken, not imagined


def main(arguments: list[str]) -> int:
    """Reconstructs one folder of views. Returns 0 only if a valid asset was written."""
    from epimesh.data.posed.posed_views import read_posed_views
    from epimesh.pipeline.image_to_3d import ImageTo3D
    from epimesh.pipeline.parser import parse, pipeline_of
    from epimesh.pipeline.session import Session
    from epimesh.runtime import Runtime

    parser = _parser()
    config = parse(parser, arguments, PRESET)
    pipeline = pipeline_of(parser, config, ImageTo3D)
    folder = Path(config.folder).expanduser()
    out = Path(config.out).expanduser() if config.out else Path("runs") / folder.resolve().name
    terminal = Terminal(quiet=config.json)
    session = Session(out, Runtime(config.device, config.seed, terminal), formats=config.formats)
    session.check(config.redo_from)

    views = read_posed_views(folder, longest_side=config.longest_side)
    terminal.say(f"{len(views)} views of {views.cameras.width} x {views.cameras.height} pixels")
    views = _fitted(views, config.fit, out, terminal)
    settings = parser.dump(config, skip_none=False)
    report = session.views_to_mesh(pipeline, views, redo_from=config.redo_from, settings=settings, say=terminal.say)
    print(json.dumps(report) if config.json else f"{report['files'][0]}")
    return 0


def _fitted(views: "Views", fit: str, out: Path, reporter: "Reporter") -> "Views":
    """The views in this package's frame; how they were moved is written beside the mesh."""
    from epimesh.data.posed.source_frame import SourceFrame, source_frame_of
    from epimesh.pipeline.workspace import Workspace

    frame = SourceFrame(scale=1.0, centre=(0.0, 0.0, 0.0))
    if fit != "never":
        estimated = source_frame_of(views)
        if fit == "always" or not estimated.is_standard():
            frame = estimated
            views = frame.fitted(views)
            reporter.warn(
                f"the object is about {1 / frame.scale:.3g} units long and was moved into the unit frame "
                "(source_frame.json says how; --fit never keeps it)"
            )
    Workspace(out)  # makes the folder, or says why it cannot be written
    (out / "source_frame.json").write_text(json.dumps(asdict(frame), indent=1))
    return views


def _parser() -> "ArgumentParser":
    from argparse import RawDescriptionHelpFormatter
    from typing import Literal

    from jsonargparse import ArgumentParser, DefaultHelpFormatter

    from epimesh.data.posed.posed_views import LONGEST_SIDE
    from epimesh.pipeline.image_to_3d import ImageTo3D
    from epimesh.pipeline.parser import add_pipeline_arguments

    class Formatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
        """Keeps the line breaks of the description."""

    parser = ArgumentParser(
        prog="epimesh reconstruct", description=_DESCRIPTION, exit_on_error=False, formatter_class=Formatter
    )
    add = parser.add_argument
    add("folder", type=str, help="transforms.json and images, or saved views")
    add("--out", type=str | None, default=None, help="output folder (default: runs/NAME)")
    add("--fit", type=Literal["auto", "always", "never"], default="auto", help="move the object into the unit frame")
    add(
        "--longest-side", dest="longest_side", type=int, default=LONGEST_SIDE, help="images are reduced to this, pixels"
    )
    add("--seed", type=int, default=0, help="same seed, same result")
    add("--device", type=str, default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add("--from", dest="redo_from", type=str | None, default=None, help="make again from: reconstruct, mesh, texture")
    add("--formats", type=list[str], default=["glb"], help="files to write, e.g. [glb,obj,stl]: glb obj ply stl usd")
    add("--json", action="store_true", help="print the content of run.json on stdout, no progress")
    add_pipeline_arguments(parser, ImageTo3D, PRESET)
    return parser
