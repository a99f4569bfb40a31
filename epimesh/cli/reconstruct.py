"""`epimesh reconstruct`: from posed views to a textured mesh."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from epimesh import __version__
from epimesh.cli.early import check_device, check_disk, check_slot, deliver, out_and_file
from epimesh.cli.paths import typed_path
from epimesh.cli.pipeline_options import PipelineCommand
from epimesh.files.atomic import output_file
from epimesh.files.formats import known_formats
from epimesh.pipeline.preset_file import SLOTS

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from epimesh.data.posed.posed_views import Capture, Segment
    from epimesh.data.posed.source_frame import SourceFrame
    from epimesh.runtime import Reporter
    from epimesh.views import Views

_DESCRIPTION = """Turns images with known cameras into a textured mesh.

FOLDER holds a transforms.json with its images (as nerfstudio, instant-ngp and Blender's NeRF scenes write them), or
views saved by an earlier run, e.g. runs/chair/3-decode-1a2b3c4d5e. It may also be the path of such a file. The object
is told by mask_path, by transparency, by a background of one colour, or else by a segmentation network. Distorted
pictures (k1 to k4, p1, p2, fisheye) are straightened while they are read. EXIF rotation is ignored: poses are about
stored pixels. Normals of the world (normal_file_path: RGBA, x y z from -1 to 1 as 0 to 255) help NeuS where they exist.

Writes OUT/NAME.glb, NAME.webp (turntable), run.json, source_frame.json (where the mesh lies in the coordinates of the
cameras: source = mesh / scale + centre, z up), and one folder per stage. The reconstruct, mesh and texture slots of the
preset are used.

examples:
  epimesh reconstruct scans/mug --out runs/mug
  epimesh reconstruct scans/mug --faces 5000 --texture-size 2048
  epimesh reconstruct scans/mug --preset hull --fit never
"""


_WORDS = """usage: epimesh reconstruct FOLDER [options]
Images with known cameras become a textured mesh: runs/NAME/NAME.glb, with a turntable beside it."""
_DOUBTFUL = 0.8  # of a cut-out or of the object; less in common with the other views is worth a look
_WRONG = 0.75  # of what the middle one has in common; with less, another thing was cut out, or parts were cut off
PRESET = "posed"  # views that were taken, not imagined


def main(arguments: list[str]) -> int:
    """Reconstructs one folder of views. Returns 0 only if a valid asset was written."""
    early = COMMAND.early(arguments)
    if early is None:
        return 0
    typed, arguments = early
    folder = typed_path(typed.folder)
    out, file = out_and_file(typed.out)
    out = out or Path("runs") / _name(folder.resolve())
    check_device(typed.device)
    check_slot(typed.redo_from, COMMAND.slots)
    known_formats(typed.formats)
    check_disk(out)
    if not (typed.json or typed.quiet):
        print(f"epimesh {__version__}: {folder}", file=sys.stderr, flush=True)

    from epimesh.cli.progress import Terminal
    from epimesh.data.posed.posed_views import LONGEST_SIDE, read_capture
    from epimesh.pipeline.image_to_3d import ImageTo3D
    from epimesh.pipeline.out_folder import POSED, refuse_others
    from epimesh.pipeline.parser import as_preset, parse, pipeline_of
    from epimesh.pipeline.session import Session
    from epimesh.runtime import Runtime

    parser = COMMAND.parser()
    config = parse(parser, arguments, PRESET)
    pipeline = pipeline_of(parser, config, ImageTo3D)
    refuse_others(out, POSED)
    terminal = Terminal(quiet=config.json or config.quiet)
    runtime = Runtime(config.device, config.seed, terminal)
    formats = config.formats if file is None else [file.suffix]
    session = Session(out, runtime, formats=formats, policy=config.license_policy)
    session.check(config.redo_from)

    side = LONGEST_SIDE if config.longest_side is None else config.longest_side
    capture = read_capture(
        folder,
        longest_side=side,
        compact=True,
        normals=config.normals == "auto",
        segment=_network(terminal),
        reporter=terminal,
    )
    cameras = capture.views.cameras
    beside = "" if capture.views.normals is None else ", with normals"
    terminal.say(f"{len(cameras)} views of {cameras.width} x {cameras.height} pixels{beside}")
    views = _fitted(capture, config.fit, config.up, out, terminal)
    del capture  # images that were left out, which may be many, are not needed any more
    settings = parser.dump(as_preset(config), skip_none=False, skip_validation=True)
    report = session.views_to_mesh(pipeline, views, redo_from=config.redo_from, settings=settings, say=terminal.say)
    made = report["files"][0] if file is None else str(deliver(out, file))
    print(json.dumps(report) if config.json else made)
    return 0


def _name(source: Path) -> str:
    """What the results of a folder, or of a file of cameras in it, are called."""
    return source.stem if source.is_file() else source.name


def _fitted(capture: "Capture", fit: str, up: str, out: Path, reporter: "Reporter") -> "Views":
    """The views in this package's frame; how they were moved is written beside the mesh."""
    from epimesh.data.posed.source_frame import GUESSED_MISSES, SourceFrame, source_frame_of, strictest_frame_of
    from epimesh.data.posed.upright import named
    from epimesh.pipeline.workspace import Workspace

    views = capture.views
    frame = SourceFrame(scale=1.0, centre=(0.0, 0.0, 0.0))
    if fit != "never":
        allowed = {"misses": GUESSED_MISSES} if capture.segmented else {}
        upwards = capture.up if up == "auto" else named(up)
        estimated = source_frame_of(views, upwards, **allowed)
        views = _without_doubtful(capture, estimated, reporter)
        if len(views) < len(capture.views):
            estimated = strictest_frame_of(views, upwards)
        if fit == "always" or not estimated.is_standard():
            frame = estimated
            views = frame.fitted(views)
            reporter.warn(_what_moved(frame))
    Workspace(out)  # makes the folder, or says why it cannot be written
    with output_file(out / "source_frame.json") as path:
        path.write_text(json.dumps(asdict(frame.moved_by(capture.origin)), indent=1), encoding="utf-8")
    return views


def _what_moved(frame: "SourceFrame") -> str:
    turned = "" if frame.rotation[2] == (0.0, 0.0, 1.0) else f", turned upright ({_axis(frame.rotation[2])} was up)"
    return (
        f"the object is about {1 / frame.scale:.3g} units long and was moved into the unit frame{turned} "
        "(source_frame.json says how; --fit never keeps it, --up names the axis)"
    )


def _axis(up: tuple[float, float, float]) -> str:
    """The axis that is within a degree of `up`, by name, or its three numbers."""
    strongest = max(range(3), key=lambda axis: abs(up[axis]))
    if abs(up[strongest]) > 0.9998:
        return ("-" if up[strongest] < 0 else "") + "xyz"[strongest]
    return " ".join(f"{part:.2f}" for part in up)


def _without_doubtful(capture: "Capture", frame: "SourceFrame", reporter: "Reporter") -> "Views":
    """The views, but no cut-outs of the network that the other views contradict. Says which."""
    from epimesh.data.posed.source_frame import worst_explained

    if not capture.segmented:
        return capture.views
    reporter.warn(
        f"{len(capture.segmented)} of {len(capture.names)} images have a background and no mask; the segmentation "
        "network cut them out. Masks of your own (mask_path) are better."
    )
    shares = worst_explained(frame, capture.views, below=float("inf"))
    worst = [(index, share) for index, share in shares if share < _DOUBTFUL]
    if not worst:
        return capture.views
    wrong = {index for index, share in worst if share < _WRONG * shares[len(shares) // 2][1]}
    named = ", ".join(f"{capture.names[index]} ({share:.0%})" for index, share in worst[:5])
    reporter.warn(f"The other views agree least with the cut-outs of {named}; {len(wrong)} cut-outs were left out.")
    return (
        capture.views[[index for index in range(len(capture.views)) if index not in wrong]] if wrong else capture.views
    )


def _network(reporter: "Reporter") -> "Segment | None":
    """The segmentation network as a function of a picture, or None where nothing runs it."""
    from epimesh.stages.read.matting import refined_edges
    from epimesh.stages.read.saliency import SIDE, find_model, salient_mask

    model = find_model()
    return None if model is None else lambda rgb: refined_edges(rgb, salient_mask(rgb, model), coarse_side=SIDE)


def _add_own(parser: "ArgumentParser") -> None:
    from typing import Literal

    add = parser.add_argument
    add("folder", type=str, help="transforms.json and images, or saved views")
    add("--fit", type=Literal["auto", "always", "never"], default="auto", help="move the object into the unit frame")
    add(
        "--up", type=str, default="auto", help="which axis is up: auto (what the cameras held upright), z, y, x, -z ..."
    )
    side = "pixels that larger images are reduced to (default: 1024)"
    add("--longest-side", dest="longest_side", type=int | None, default=None, help=side)
    add(
        "--normals",
        type=Literal["auto", "ignore"],
        default="auto",
        help="auto uses the normal maps that transforms.json names (normal_file_path), ignore leaves them out",
    )


COMMAND = PipelineCommand(
    name="reconstruct",
    words=_WORDS,
    description=_DESCRIPTION,
    slots=SLOTS[3:],
    preset=PRESET,
    add_own=_add_own,
    rare=("folder", "verbose", "json"),
    shortcuts="  --faces N  --texture-size PIXELS",
)
