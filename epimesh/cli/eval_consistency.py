"""`epimesh eval consistency`: how well neighbouring views of one object agree with each other."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epimesh.cli.eval_parser import parser_of
from epimesh.errors import BadInput

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace
    from torch import Tensor

    from epimesh.views import Views

_DESCRIPTION = """Measures how well the views of one object agree with each other, whatever the truth.

VIEWS is a stage's folder (runs/NAME/3-decode-...) or any folder with a transforms.json. Depth, by which views are
carried into each other, is that of a mesh (--depth FILE, in the frame of the cameras), the views' own (--depth own,
where they hold it), or by default that of a surface reconstructed from the views (--preset and the settings of
`reconstruct`); that surface is then also compared with the views. The object should be 1 long, at the origin.

warp dB          colours carried into the next view in azimuth, where both see the same surface
matches          SIFT features that two neighbours share and that lie where the cameras allow, per pair
reprojection px  how far depth carries such a feature from where the neighbour shows it, median
re-rendered dB   the views against the surface that was reconstructed from them

Empty pictures agree perfectly: compare the numbers of the same object, and look at the pictures.

examples:
  epimesh eval consistency runs/chair/3-decode-1a2b3c4d5e
  epimesh eval consistency renders/chair --depth own --json
  epimesh eval consistency runs/chair/3-decode-1a2b3c4d5e --depth chair.ply
"""


RECONSTRUCTED, OWN = "reconstructed", "own"


def main(arguments: list[str]) -> int:
    """Measures the agreement of the views in a folder. Returns 0."""
    from epimesh.data.posed.posed_views import read_posed_views
    from epimesh.pipeline.parser import parse

    parser = _parser()
    config = parse(parser, arguments)
    views = read_posed_views(Path(config.views_folder).expanduser(), geometry=config.depth == OWN)
    found = _measured(parser, config, views)
    print(json.dumps(found) if config.json else _table(found))
    return 0


def _measured(parser: "ArgumentParser", config: "Namespace", views: "Views") -> dict[str, Any]:
    from epimesh.evaluation.metrics.consistency import consistency, rerender_psnr

    given = {"views": len(views), "depth": config.depth}
    if config.depth != RECONSTRUCTED:
        return {**given, **asdict(consistency(views, _depth(config, views)))}
    shown = _reconstructed(parser, config, views)
    assert shown.depth is not None
    return {**given, **asdict(consistency(views, shown.depth)), "rerender_psnr": rerender_psnr(views, shown)}


def _depth(config: "Namespace", views: "Views") -> "Tensor":
    from epimesh.evaluation.ground_truth.shape_files import read_shape
    from epimesh.evaluation.metrics.mesh_health import require_mesh
    from epimesh.evaluation.metrics.visible import depth_maps

    if config.depth != OWN:
        mesh = read_shape(Path(config.depth).expanduser(), config.up).mesh
        require_mesh(mesh, "given")
        return depth_maps(mesh, views.cameras)
    if views.depth is None:
        raise BadInput(
            f"The views in {config.views_folder} hold no depth.\nGive a mesh (--depth FILE), or leave --depth out."
        )
    return views.depth


def _reconstructed(parser: "ArgumentParser", config: "Namespace", views: "Views") -> "Views":
    """The surface that the preset reconstructs, from the cameras of the views."""
    from epimesh.cli.progress import Terminal
    from epimesh.pipeline.image_to_3d import ImageTo3D
    from epimesh.pipeline.parser import pipeline_of
    from epimesh.runtime import Runtime

    runtime = Runtime(config.device, config.seed, Terminal(quiet=config.json))
    return pipeline_of(parser, config, ImageTo3D).reconstruct(views, None, runtime=runtime).render(views.cameras)


def _table(found: dict[str, Any]) -> str:
    names = {
        "warp_psnr": "warp dB",
        "matches": "matches",
        "reprojection_px": "reprojection px",
        "rerender_psnr": "re-rendered dB",
    }
    values = {name: found[key] for key, name in names.items() if key in found}
    lines = [f"{name:<16} {'-' if value is None else format(value, '.3f'):>8}" for name, value in values.items()]
    return "\n".join([*lines, f"{found['views']} views; depth: {found['depth']}."])


def _parser() -> "ArgumentParser":
    from epimesh.evaluation.ground_truth.shape_files import UPS
    from epimesh.pipeline.image_to_3d import ImageTo3D
    from epimesh.pipeline.parser import add_pipeline_arguments

    parser = parser_of("consistency", _DESCRIPTION)
    add = parser.add_argument
    add("views_folder", type=str, metavar="VIEWS", help="a stage's folder of views, or one with a transforms.json")
    add("--depth", type=str, default=RECONSTRUCTED, help=f"{RECONSTRUCTED}, {OWN}, or the file of a mesh")
    add("--up", type=str, default="auto", help=f"of that mesh: {', '.join(UPS)}")
    add("--seed", type=int, default=0, help="of the reconstruction")
    add("--device", type=str, default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add("--json", action="store_true", help="print everything for machines, no progress")
    add_pipeline_arguments(parser, ImageTo3D)
    return parser
