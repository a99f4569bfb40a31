"""`epimesh render`: objects into training views, as packs of a ring or as folders of six views with depth."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jsonargparse import ArgumentParser

from epimesh.cli.shard import Shard
from epimesh.errors import BadInput

if TYPE_CHECKING:
    from epimesh.data.objects import ObjectRecord
    from epimesh.data.processes import Outcome
    from epimesh.mesh import Mesh

    Objects = tuple[list[ObjectRecord], Callable[[ObjectRecord], Mesh]]

_DESCRIPTION = """Renders objects of a folder (with manifest.csv), or made-up ones (--procedural), into training views.
Stopped runs go on where they were. Objects that cannot be read are skipped and listed in skipped.txt.

--views ring: one file per object with 16 views on a ring and 4 at random elevations, 128 pixels.
--views six:  one folder per object with six views at elevation 0 as Wonder3D has them, 256 pixels, with depth,
              normals and transforms.json.

examples: epimesh render objects/ renders/train --split train --processes 2
          epimesh render objects/ renders/augmented --augment 2 --realistic
          epimesh render --procedural 3000 renders/procedural --photos textures/
          epimesh render objects/ renders/six --views six --processes 8 --shard 2/8
"""
_SIZES = {"ring": 128, "six": 256}


def main(arguments: list[str]) -> int:
    """Renders a split of a folder of objects, or procedural objects."""
    config = _parser().parse_args(arguments)
    out = Path(config.folders[-1])
    shard = Shard.parsed(config.shard)
    records, load = _made_up(config) if config.procedural else _from_folder(config)
    records = shard.of(records)
    render = _six if config.views == "six" else _ring
    out.mkdir(parents=True, exist_ok=True)
    skipped = [f"{name}\t{reason}" for name, reason in render(config, out, records, load) if reason is not None]
    if skipped:
        (out / shard.list_name).write_text("\n".join(skipped) + "\n", encoding="utf-8")
    pattern, what = ("*/transforms.json", "objects") if config.views == "six" else ("*.safetensors", "packs")
    print(f"{len(list(out.glob(pattern)))} {what} in {out}, {len(skipped)} objects skipped")
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="epimesh render", exit_on_error=False, description=_DESCRIPTION)
    parser.add_argument(
        "folders", type=str, nargs="+", help="OBJECTS (with manifest.csv) and OUT; OUT alone if made up"
    )
    parser.add_argument("--views", type=Literal["ring", "six"], default="ring", help="which views of every object")
    parser.add_argument("--split", type=str, default="train", help="train varies yaw, scale and light; others do not")
    parser.add_argument("--size", type=int | None, default=None, help="pixels per side (ring: 128, six: 256)")
    parser.add_argument("--processes", type=int, default=2, help="how many to use")
    parser.add_argument("--seed", type=int, default=0, help="of yaw, scale and light; of the objects if made up")
    parser.add_argument("--count", type=int | None, default=None, help="only the first objects of the folder")
    parser.add_argument("--shard", type=str | None, default=None, help="i/n: only the i-th of n shares of the objects")
    parser.add_argument("--realistic", action="store_true", help="only scans and photo-textured objects of the folder")
    parser.add_argument("--augment", type=int, default=0, help="so many variations of every object instead of itself")
    parser.add_argument("--procedural", type=int, default=0, help="make up so many objects")
    parser.add_argument("--first", type=int, default=0, help="number of the first made-up object")
    parser.add_argument("--photos", type=str | None, default=None, help="pictures of materials for made-up objects")
    parser.add_argument(
        "--projection",
        type=Literal["orthographic", "perspective"],
        default="orthographic",
        help="six views only: Wonder3D's cameras, or pinhole ones at the same places",
    )
    parser.add_argument(
        "--renderer",
        type=Literal["auto", "blender", "rays"],
        default="auto",
        help="six views only: Blender (pip install bpy) knows more of materials than rays; auto takes it if there",
    )
    return parser


def _from_folder(config: Any) -> "Objects":
    from epimesh.data.objects import read_manifest
    from epimesh.data.packs.render_objects import load_recorded

    if len(config.folders) != 2:
        raise BadInput(f"Found {len(config.folders)} folders, expected two: OBJECTS OUT, or --procedural N OUT.")
    folder = Path(config.folders[0])
    records = read_manifest(folder, config.split)[: config.count]
    if config.realistic:
        records = [record for record in records if record.realistic]
    if not config.augment:
        return records, load_recorded
    from epimesh.data.packs.augment import LoadAugmented, augmented_records

    return augmented_records(records, config.augment), LoadAugmented(folder, config.seed)


def _made_up(config: Any) -> "Objects":
    from epimesh.data.procedural.records import LoadProcedural, procedural_records

    if len(config.folders) != 1:
        raise BadInput(f"Found {len(config.folders)} folders, expected one: --procedural N OUT.")
    if config.photos is not None and not Path(config.photos).is_dir():
        raise BadInput(f"There is no folder {config.photos}.\nExpected pictures of materials (webp, png or jpg).")
    load = LoadProcedural(Path(config.photos) if config.photos is not None else None)
    return procedural_records(config.seed, config.first, config.procedural), load


def _varies(config: Any) -> bool:
    return bool(config.procedural) or config.split == "train"


def _ring(config: Any, out: Path, records: "list[ObjectRecord]", load: Any) -> "Iterable[Outcome]":
    from epimesh.cli.progress import Terminal
    from epimesh.data.packs.render_objects import RenderJob, RenderSettings, render_all

    if config.renderer == "blender" or config.projection != "orthographic":
        raise BadInput(
            "--renderer and --projection are for --views six: the ring has one renderer and pinhole cameras."
        )
    settings = RenderSettings(size=config.size or _SIZES["ring"], vary=_varies(config), seed=config.seed)
    jobs = [RenderJob(record, out, settings, load) for record in records]
    return Terminal().track(render_all(jobs, config.processes), "rendering", len(jobs))


def _six(config: Any, out: Path, records: "list[ObjectRecord]", load: Any) -> "Iterable[Outcome]":
    from epimesh.cli.progress import Terminal
    from epimesh.data.packs.six_views import SixViewJob, SixViewSettings, claim_folder, render_six_views, waiting
    from epimesh.data.processes import each_in_processes

    settings = SixViewSettings(
        size=config.size or _SIZES["six"],
        projection=config.projection,
        vary=_varies(config),
        seed=config.seed,
        renderer=_renderer(config),
    )
    claim_folder(out, settings)
    jobs = waiting([SixViewJob(record, out, settings, load) for record in records])
    return Terminal().track(each_in_processes(render_six_views, jobs, config.processes), "rendering", len(jobs))


def _renderer(config: Any) -> Literal["blender", "rays"]:
    from epimesh.rendering.blender import blender_is_installed

    from_files = not config.procedural and not config.augment
    if config.renderer == "blender" and not from_files:
        raise BadInput("Blender renders files as they are, not made-up or varied objects: use --renderer rays.")
    if config.renderer == "auto":
        return "blender" if from_files and blender_is_installed() else "rays"
    return "blender" if config.renderer == "blender" else "rays"
