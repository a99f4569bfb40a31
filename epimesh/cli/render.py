"""`epimesh render`: objects into packs of training views."""

from pathlib import Path

from jsonargparse import ArgumentParser

_DESCRIPTION = """Renders the objects of a folder (with a manifest.csv) into packs of training views: one file per
object with 16 views on a ring and 4 at random elevations. Stopped runs go on where they were. Objects that cannot be
read are skipped and listed in skipped.txt.

example: epimesh render objects/ renders/train --split train --processes 2
"""


def main(arguments: list[str]) -> int:
    """Renders a split of a folder of objects."""
    from epimesh.cli.progress import Terminal
    from epimesh.data.objects import read_manifest
    from epimesh.data.render_objects import RenderJob, RenderSettings, load_recorded, render_all

    parser = ArgumentParser(prog="epimesh render", description=_DESCRIPTION)
    parser.add_argument("objects", type=str, help="folder with manifest.csv")
    parser.add_argument("out", type=str, help="folder for the packs")
    parser.add_argument("--split", type=str, default="train", help="train varies yaw, scale and light; others do not")
    parser.add_argument("--size", type=int, default=128, help="pixels per side")
    parser.add_argument("--processes", type=int, default=2, help="how many to use")
    parser.add_argument("--seed", type=int, default=0, help="of yaw, scale and light")
    parser.add_argument("--count", type=int | None, default=None, help="only the first objects")
    config = parser.parse_args(arguments)

    out = Path(config.out)
    settings = RenderSettings(size=config.size, vary=config.split == "train", seed=config.seed)
    records = read_manifest(Path(config.objects), config.split)[: config.count]
    jobs = [RenderJob(record, out, settings, load_recorded) for record in records]
    terminal = Terminal()
    done = list(terminal.track(render_all(jobs, config.processes), "rendering", len(jobs)))
    skipped = [f"{name}\t{reason}" for name, reason in done if reason is not None]
    if skipped:
        (out / "skipped.txt").write_text("\n".join(skipped) + "\n")
    print(f"{len(list(out.glob('*.safetensors')))} packs in {out}, {len(skipped)} objects skipped")
    return 0
