"""How well and how fast surfaces are reconstructed, beside the smoothed visual hull.

    python bench/reconstruction.py chicken [--shared ../shared] [--quick | --seeds 8]
    python bench/reconstruction.py objects [--shared ../shared] [--split test] [--count 62]
    python bench/reconstruction.py normals [--shared ../shared] [--split test] [--count 62]

`chicken`: the published case of SyncDreamer, 16 views of 256 pixels, by its protocol (no alignment; Chamfer of what the
16 cameras see, volume IoU at 64, F-score at .01 all over the surface). `objects`: objects marked hard (thin, hollow),
16 true views of 256 pixels, so that only the reconstruction is judged. `hull` is the shipped
smoothed hull, `Gaussian hull` the usual one. Compilation happens before times are taken. `normals`: these objects with
and without their true normals, from Wonder3D's six directions and from the ring of sixteen, by the quick fit.
"""

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from texture import psnr, read_mesh, read_views

from epimesh.cameras import Cameras
from epimesh.data.objects import read_manifest
from epimesh.evaluation.ground_truth.truth_object import truth_object
from epimesh.evaluation.metrics.shapes import ShapeProtocol, ShapeReport, compare_shapes
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.pipeline import process_memory
from epimesh.pipeline.contracts import Reconstructor
from epimesh.reconstruction import MarchingCubes, NeuS, VisualHull
from epimesh.rendering.ray_casting import render_mesh
from epimesh.runtime import Runtime
from epimesh.stages import BakeTexture
from epimesh.stages.wonder3d.rig import AZIMUTHS_DEG
from epimesh.surface import GridSurface
from epimesh.views import Views

PROTOCOL = ShapeProtocol(thresholds=(0.01,), resolutions=(64,))
RUNTIME = Runtime("cpu")


@dataclass(frozen=True, kw_only=True)
class GaussianHull(VisualHull):
    """The visual hull smoothed by a plain Gaussian, as is usual: shrinks what is convex, dissolves what is thin."""

    smoothing: float = 0.0
    sigma: float = 1.2

    def __call__(self, views: Views, photo: Photo | None, *, runtime: Runtime) -> GridSurface:
        hull = super().__call__(views, photo, runtime=runtime)
        cells = self.sigma * hull.distances.shape[0] / 128
        smooth = gaussian_filter(hull.distances.numpy(), cells, mode="nearest")
        return replace(hull, distances=torch.from_numpy(smooth))


METHODS = {
    "hull": VisualHull(),
    "Gaussian hull": GaussianHull(),
    "NeuS quick": NeuS(resolution=80, iterations=200, rays=2048),
    "NeuS": NeuS(),
}


@dataclass(frozen=True, eq=False)
class Made:
    """A mesh and what it took: wall and CPU seconds, and the peak memory of the process in bytes."""

    mesh: Mesh
    wall: float
    cpu: float
    peak_bytes: int


def make(method: Reconstructor, views: Views, runtime: Runtime = RUNTIME) -> Made:
    """Surface and mesh."""
    process_memory.reset_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    mesh = MarchingCubes()(method(views, None, runtime=runtime), runtime=runtime)
    return Made(mesh, time.perf_counter() - wall, time.process_time() - cpu, process_memory.peak_bytes())


def row(name: str, made: Made, report: ShapeReport) -> str:
    """One line of the table, without its end."""
    iou = report.volume[0].iou
    return (
        f"| {name} | {made.wall:.1f} | {made.cpu:.1f} | {made.peak_bytes / 1e9:.2f} | {report.chamfer_visible:.4f} | "
        f"{'open' if iou is None else format(iou, '.3f')} | {report.agreement[0].f_score:.3f} |"
    )


def chicken(folder: Path, quick: bool) -> None:
    """The published case."""
    truth, true_views = read_mesh(folder / "mesh_world.ply"), read_views(folder / "gt")
    cases = [(name, "gen") for name in METHODS] + [("NeuS", "gt")]
    print("| method, views | wall s | CPU s | GB | Chamfer | IoU64 | F1@.01 | texture s | CPU s | dB input | truth |")
    print("|---" * 11 + "|")
    for name, kind in cases[: 3 if quick else None]:
        views, method = read_views(folder / kind), METHODS[name]
        make(replace(method, resolution=32), views)  # compiles
        made = make(method, views)
        wall, cpu = time.perf_counter(), time.process_time()
        textured = BakeTexture()(made.mesh, views, None, runtime=RUNTIME)
        spent = f" {time.perf_counter() - wall:.1f} | {time.process_time() - cpu:.1f} |"
        drawn = render_mesh(textured, views.cameras).rgb
        told = f" {psnr(drawn, views.rgb):.2f} | {psnr(drawn, true_views.rgb):.2f} |"
        print(
            row(f"{name}, {kind}", made, compare_shapes(made.mesh, truth, protocol=PROTOCOL)) + spent + told, flush=True
        )


def seeds(folder: Path, count: int) -> None:
    """The published case with several seeds of the rays: one number alone says little, see `ShapeReport`."""
    truth, views = read_mesh(folder / "mesh_world.ply"), read_views(folder / "gen")
    print("| seed | wall s | CPU s | GB | Chamfer | IoU64 | F1@.01 |\n" + "|---" * 7 + "|")
    found = []
    for seed in range(count):
        made = make(METHODS["NeuS"], views, Runtime("cpu", seed=seed))
        report = compare_shapes(made.mesh, truth, protocol=PROTOCOL)
        print(row(str(seed), made, report), flush=True)
        found.append((report.chamfer_visible, report.volume[0].iou, report.agreement[0].f_score))
    for name, values in zip(("Chamfer", "IoU64", "F1@.01"), np.array(found, float).T, strict=True):
        print(f"{name}: mean {values.mean():.4f}, {values.min():.4f} to {values.max():.4f} over {count} seeds")


def objects(folder: Path, split: str, count: int | None) -> None:
    """True views of hard objects: hulls against NeuS, object by object, and the means."""
    records = [record for record in read_manifest(folder, split) if record.hard][:count]
    scores: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ("Gaussian hull", "hull", "NeuS")}
    print("| object, method | wall s | CPU s | GB | Chamfer | IoU64 | F1@.01 |")
    print("|---" * 7 + "|")
    for record in records:
        truth = truth_object(record, elevation_deg=30.0, size=256)
        views = replace(truth.views(Cameras.ring(size=256)), normals=None, depth=None)
        for name, found in scores.items():
            made = make(METHODS[name], views)
            report = compare_shapes(made.mesh, truth.mesh, protocol=PROTOCOL)
            print(row(f"{record.id}, {name}", made, report), flush=True)
            iou = report.volume[0].iou
            found.append((np.nan if iou is None else iou, report.agreement[0].f_score, report.chamfer_visible))
    for name, found in scores.items():
        iou, f_score, chamfer = np.nanmean(np.array(found), axis=0)
        solid = int(np.isfinite(np.array(found)[:, 0]).sum())
        print(
            f"mean of {len(found)}, {name}: IoU64 {iou:.4f} (of {solid} solids), "
            f"F1@.01 {f_score:.4f}, Chamfer {chamfer:.5f}"
        )


def normals(folder: Path, split: str, count: int | None) -> None:
    """True views of hard objects with and without their true normals, and the medians."""
    six = Cameras.on_sphere(torch.tensor(AZIMUTHS_DEG), torch.zeros(len(AZIMUTHS_DEG)), size=256)
    rigs = {"six": six, "sixteen": Cameras.ring(size=256)}
    told: dict[tuple[str, str], list[tuple[float, float]]] = {}
    print("| object, views | wall s | CPU s | GB | Chamfer | IoU64 | F1@.01 |\n" + "|---" * 7 + "|")
    for record in [record for record in read_manifest(folder, split) if record.hard][:count]:
        truth = truth_object(record, elevation_deg=30.0, size=256)
        for rig, cameras in rigs.items():
            views = replace(truth.views(cameras), depth=None)
            for kind, given in (("without", replace(views, normals=None)), ("with normals", views)):
                made = make(METHODS["NeuS quick"], given)
                report = compare_shapes(made.mesh, truth.mesh, protocol=PROTOCOL)
                print(row(f"{record.id}, {rig}, {kind}", made, report), flush=True)
                scores = (report.chamfer_visible, report.agreement[0].f_score)
                told.setdefault((rig, kind), []).append(scores)
    for (rig, kind), found in told.items():
        chamfer, f_score = np.median(np.array(found), axis=0)
        print(f"median of {len(found)}, {rig}, {kind}: Chamfer {chamfer:.5f}, F1@.01 {f_score:.4f}")


def main() -> None:
    """Prints the chosen table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=["chicken", "objects", "normals"])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder that holds data/")
    parser.add_argument("--split", default="test")
    parser.add_argument("--count", type=int, default=None, help="only the first objects")
    parser.add_argument("--quick", action="store_true", help="only the hull and the quick fit")
    parser.add_argument("--seeds", type=int, default=None, help="of the published case: only NeuS, with so many seeds")
    parsed = parser.parse_args()
    torch.manual_seed(0)
    if parsed.table == "chicken" and parsed.seeds:
        seeds(parsed.shared / "data" / "chicken", parsed.seeds)
    elif parsed.table == "chicken":
        chicken(parsed.shared / "data" / "chicken", parsed.quick)
    elif parsed.table == "normals":
        normals(parsed.shared / "data" / "objects", parsed.split, parsed.count)
    else:
        objects(parsed.shared / "data" / "objects", parsed.split, parsed.count)


if __name__ == "__main__":
    main()
