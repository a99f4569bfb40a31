"""`epimesh render`: objects into packs of training views."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from epimesh.errors import BadInput

if TYPE_CHECKING:
    from epimesh.data.render_objects import RenderJob

_DESCRIPTION = """Renders objects into packs of training views: one file per object with 16 views on a ring and 4 at
random elevations. The objects come from a folder (with a manifest.csv), or are made up (--procedural). Stopped runs go
on where they were. Objects that cannot be read are skipped and listed in skipped.txt.

examples: epimesh render objects/ renders/train --split train --processes 2
          epimesh render objects/ renders/augmented --augment 2 --realistic
          epimesh render --procedural 3000 renders/procedural --photos textures/
"""


def main(arguments: list[str]) -> int:
    """Renders a split of a folder of objects, or procedural objects."""
    from epimesh.cli.progress import Terminal
    from epimesh.data.render_objects import render_all

    config = _parser().parse_args(arguments)
    out = Path(config.folders[-1])
    jobs = _procedural_jobs(config, out) if config.procedural else _folder_jobs(config, out)
    done = list(Terminal().track(render_all(jobs, config.processes), "rendering", len(jobs)))
    skipped = [f"{name}\t{reason}" for name, reason in done if reason is not None]
    if skipped:
        (out / "skipped.txt").write_text("\n".join(skipped) + "\n")
    print(f"{len(list(out.glob('*.safetensors')))} packs in {out}, {len(skipped)} objects skipped")
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="epimesh render", description=_DESCRIPTION)
    parser.add_argument(
        "folders", type=str, nargs="+", help="OBJECTS (with manifest.csv) and OUT; OUT alone if made up"
    )
    parser.add_argument("--split", type=str, default="train", help="train varies yaw, scale and light; others do not")
    parser.add_argument("--size", type=int, default=128, help="pixels per side")
    parser.add_argument("--processes", type=int, default=2, help="how many to use")
    parser.add_argument("--seed", type=int, default=0, help="of yaw, scale and light; of the objects if made up")
    parser.add_argument("--count", type=int | None, default=None, help="only the first objects of the folder")
    parser.add_argument("--realistic", action="store_true", help="only scans and photo-textured objects of the folder")
    parser.add_argument("--augment", type=int, default=0, help="so many variations of every object instead of itself")
    parser.add_argument("--procedural", type=int, default=0, help="make up so many objects")
    parser.add_argument("--first", type=int, default=0, help="number of the first made-up object")
    parser.add_argument("--photos", type=str | None, default=None, help="pictures of materials for made-up objects")
    return parser


def _folder_jobs(config: Any, out: Path) -> "list[RenderJob]":
    from epimesh.data.objects import read_manifest
    from epimesh.data.render_objects import RenderJob, RenderSettings, load_recorded

    if len(config.folders) != 2:
        raise BadInput(f"Found {len(config.folders)} folders, expected two: OBJECTS OUT, or --procedural N OUT.")
    settings = RenderSettings(size=config.size, vary=config.split == "train", seed=config.seed)
    folder = Path(config.folders[0])
    records = read_manifest(folder, config.split)[: config.count]
    if config.realistic:
        records = [record for record in records if record.realistic]
    if not config.augment:
        return [RenderJob(record, out, settings, load_recorded) for record in records]
    from epimesh.data.augment import LoadAugmented, augmented_records

    load = LoadAugmented(folder, config.seed)
    return [RenderJob(record, out, settings, load) for record in augmented_records(records, config.augment)]


def _procedural_jobs(config: Any, out: Path) -> "list[RenderJob]":
    from epimesh.data.procedural.records import LoadProcedural, procedural_records
    from epimesh.data.render_objects import RenderJob, RenderSettings

    if len(config.folders) != 1:
        raise BadInput(f"Found {len(config.folders)} folders, expected one: --procedural N OUT.")
    if config.photos is not None and not Path(config.photos).is_dir():
        raise BadInput(f"There is no folder {config.photos}.\nExpected pictures of materials (webp, png or jpg).")
    settings = RenderSettings(size=config.size, seed=config.seed)
    load = LoadProcedural(Path(config.photos) if config.photos is not None else None)
    records = procedural_records(config.seed, config.first, config.procedural)
    return [RenderJob(record, out, settings, load) for record in records]
