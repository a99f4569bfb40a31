"""How time and memory grow: with views, their pixels, triangles, cells of the grid, and photo after photo.

    python bench/growth.py OUT --tables views resolution faces grid photos [--shared ../shared] [--repeats 3]

Every point runs in a process of its own on one core, so that its peak of memory is its own; the run whose CPU time is
the median counts. A cell is CPU seconds (wall seconds) and memory on top of what the process held when the stage
began. Views are rendered from one object and read as `epimesh reconstruct` reads them. OUT keeps the views and
costs.json; points that it knows are not measured again. Photos go through one pipeline in one process, and the first
one also through `epimesh run`. On a machine that does other work as well, trust CPU seconds and not the wall.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from growth_costs import Cost, PhotoCost, Point, costs_of, on_one_thread, photo_costs, read, render, written
from growth_figure import figure
from growth_tables import Curve, curve_table, photo_table

TABLES: dict[str, tuple[str, dict[int, Point]]] = {
    "views": ("views of 256 pixels", {count: Point(views=count) for count in (4, 8, 16, 32, 64)}),
    "resolution": ("pixels of 16 views", {pixels: Point(pixels=pixels) for pixels in (128, 256, 512, 1024)}),
    "faces": (
        "triangles",
        {
            count: Point(faces=count, stages=("mesh", "texture"))
            for count in (2_500, 5_000, 10_000, 20_000, 40_000, 80_000, 160_000)
        },
    ),
    "grid": (
        "cells along each side",
        {cells: Point(grid=cells, stages=("hull", "NeuS")) for cells in (64, 96, 128, 192, 256)},
    ),
}
ALONE = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}


class Costs:
    """Runs of points, each in its own process, kept in a file."""

    def __init__(self, root: Path, repeats: int) -> None:
        self.root, self.repeats, self.file = root, repeats, root / "costs.json"
        self.known: dict[str, list[dict[str, list[float]]]] = {}
        if self.file.is_file():
            self.known = json.loads(self.file.read_text())

    def curve(self, points: dict[int, Point]) -> Curve:
        """The median run of every stage of every point. Points take turns, so that they see the same neighbours."""
        for repeat in range(self.repeats):
            for point in points.values():
                runs = self.known.setdefault(written(point), [])
                if len(runs) <= repeat:
                    runs.append(json.loads(own_process(["--point", written(point)], self.root)))
                    self.file.write_text(json.dumps(self.known))
        return {size: self._medians(point) for size, point in points.items()}

    def _medians(self, point: Point) -> dict[str, Cost]:
        runs = self.known[written(point)][: self.repeats]
        by_stage = {stage: sorted(Cost(*run[stage]) for run in runs) for stage in point.stages}
        return {stage: costs[len(costs) // 2] for stage, costs in by_stage.items()}


def own_process(arguments: Sequence[str], root: Path) -> str:
    """What this script prints for a part of its work."""
    command = [sys.executable, __file__, str(root), *arguments]
    return subprocess.run(command, env=ALONE, check=True, stdout=subprocess.PIPE, text=True).stdout


def command_line(photo: Path, preset: str, root: Path) -> PhotoCost:
    """`epimesh run` of one photo, start to end."""
    out = root / "command-line"
    command = [sys.executable, "-m", "epimesh", "run", str(photo), "--preset", preset, "--out", str(out), "--json"]
    command += ["--device", "cpu", "--from", "read"]
    wall = time.perf_counter()
    process = subprocess.Popen(command, env=ALONE, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    peak = json.loads((out / "run.json").read_text())["peak_bytes"]
    return PhotoCost(used.ru_utime + used.ru_stime, time.perf_counter() - wall, peak, 0)


def photos(given: argparse.Namespace) -> str:
    """The table of photos: the first one by the command line, then all of them in one process."""
    files = sorted((given.shared / "data" / "photos").glob("*.jpg"))[: given.photos]
    lines = own_process(["--preset", given.preset, "--loop", *map(str, files)], given.out).splitlines()
    costs = [PhotoCost(*json.loads(line)) for line in lines]
    single = command_line(files[0], given.preset, given.out)
    told = f"`epimesh run` of the first photo: {single.cpu:.1f} CPU s ({single.wall:.1f}), {single.peak / 1e9:.2f} GB"
    return f"{photo_table([file.stem for file in files], costs)}\n\n{told}"


def measured_here(given: argparse.Namespace) -> bool:
    """True if this process is one of those that measure; it has printed what it found."""
    if given.point:
        on_one_thread()
        print(json.dumps(costs_of(read(given.point), given.out)))
    if given.loop:
        on_one_thread()
        for cost in photo_costs(given.loop, given.preset, given.out / "photos"):
            print(json.dumps(cost), flush=True)
    return bool(given.point or given.loop)


def main() -> None:
    """Prints the chosen tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tables", nargs="+", choices=[*TABLES, "photos"], default=[*TABLES, "photos"])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder that holds data/")
    parser.add_argument("--split", default="val")
    parser.add_argument("--object", default="gso_Schleich_Spinosaurus_Action_Figure")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--photos", type=int, default=8, help="how many")
    parser.add_argument("--preset", default="small", help="for the photos")
    parser.add_argument("--figure", type=Path, help="an SVG of the CPU seconds of the curves")
    parser.add_argument("--point", help=argparse.SUPPRESS)
    parser.add_argument("--loop", type=Path, nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if measured_here(given):
        return
    costs, curves = Costs(given.out, given.repeats), {}
    for name in [name for name in TABLES if name in given.tables]:
        title, points = TABLES[name]
        render(list(points.values()), given.shared / "data" / "objects", given.split, given.object, given.out)
        curves[title] = costs.curve(points)
        print(f"{curve_table(title, curves[title])}\n", flush=True)
    if "photos" in given.tables:
        print(photos(given))
    if given.figure and curves:
        given.figure.write_text(figure(curves) + "\n")


if __name__ == "__main__":
    main()
