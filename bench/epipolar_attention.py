"""What the epipolar attention costs at full size, against the literal formula: CPU seconds, wall seconds, memory.

    OMP_NUM_THREADS=2 python bench/epipolar_attention.py
    python bench/epipolar_attention.py --levels 1 2 --forms fast --repeats 3

Six views and the four levels of Stable Video Diffusion's decoder, in single precision, without gradients, on random
maps and weights. Every pixel is of known depth: with the usual object half of them are not, and the fast form skips
those. Every form of every level runs in a process of its own, so that its peak memory is its own; forms take turns.
Memory is counted on top of what the process holds before: PyTorch, weights, maps and positions, the same for both.

Measured on two cores of a shared machine: 80 CPU s and 7.9 GB for the literal form, 8.7 CPU s and 0.65 GB for the fast.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from typing import NamedTuple

import torch

from epimesh.cameras import Cameras
from epimesh.decoders.epipolar.attention import MAX_BYTES, EpipolarAttention
from epimesh.decoders.epipolar.geometry import epipolar_segments, ray_offsets, ring_sources
from epimesh.decoders.epipolar.twin import literal_attention
from epimesh.pipeline.memory import peak_bytes, reset_peak

VIEWS = 6


class Level(NamedTuple):
    """One up-block's maps, and points per segment."""

    channels: int
    size: int
    samples: int


LEVELS = (Level(512, 32, 7), Level(512, 64, 7), Level(256, 128, 7), Level(128, 256, 2))


class Cost(NamedTuple):
    """CPU seconds over all threads, wall seconds, bytes on top, bytes of the whole process, and a number to compare."""

    cpu: float
    wall: float
    extra: int
    peak: int
    mean: float


@torch.inference_mode()
def cost(form: str, level: Level, max_bytes: int) -> Cost:
    """Runs one form once, after a first run on a small map that pays for loading libraries."""
    torch.manual_seed(0)
    layer = EpipolarAttention(level.channels, VIEWS - 1)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=level.channels**-0.5)

    def run(size: int) -> Cost:
        cameras = Cameras.ring(VIEWS, size=size)
        # A plate in front of every camera: everywhere of known depth, and within the other views' images.
        depth = 1.4 + 0.2 * torch.rand(VIEWS, size, size)
        offsets = ray_offsets(torch.full((level.samples,), 0.5), 0.1)
        segments = epipolar_segments(cameras, depth, sources=ring_sources(VIEWS, VIEWS - 1), offsets=offsets)
        features = torch.randn(VIEWS, level.channels, size, size)
        reset_peak()
        held, cpu, wall = peak_bytes(), time.process_time(), time.perf_counter()
        if form == "fast":
            out = layer(features, segments, max_bytes=max_bytes)
        else:
            out = literal_attention(layer, features, segments)
        cpu, wall, peak = time.process_time() - cpu, time.perf_counter() - wall, peak_bytes()
        return Cost(cpu, wall, peak - held, peak, float(out.square().mean()))

    run(8)
    return run(level.size)


def in_own_process(form: str, level: int, given: argparse.Namespace) -> Cost:
    """The same in a process of its own."""
    # Waiting for the other thread is no work, and would count as CPU time if it were done by spinning.
    environment = os.environ | {"OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, __file__, "--one", form, str(level), "--max-bytes", str(given.max_bytes)]
    return Cost(*json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout))


def row(name: str, form: str, cost: Cost) -> None:
    """One line of the table."""
    print(f"| {name} | {form} | {cost.cpu:.2f} | {cost.wall:.2f} | {cost.extra / 1e6:.0f} | {cost.peak / 1e6:.0f} |")


def main() -> None:
    """Reads the settings and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--levels", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--forms", nargs="+", choices=["literal", "fast"], default=["literal", "fast"])
    parser.add_argument("--repeats", type=int, default=1, help="the median counts")
    parser.add_argument("--max-bytes", type=int, default=MAX_BYTES, help="the fast form's limit")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(cost(given.one[0], LEVELS[int(given.one[1]) - 1], given.max_bytes)))
        return
    print(f"{VIEWS} views, {torch.get_num_threads()} threads\n")
    print("| level | form | CPU s | wall s | MB on top | MB in all |\n|---|---|---|---|---|---|")
    totals: dict[str, list[Cost]] = {form: [] for form in given.forms}
    for level in given.levels:
        runs = [{form: in_own_process(form, level, given) for form in given.forms} for _ in range(given.repeats)]
        for form in given.forms:
            median = sorted((run[form] for run in runs), key=lambda cost: cost.cpu)[given.repeats // 2]
            channels, size, samples = LEVELS[level - 1]
            row(f"{size} x {size}, {channels} channels, {samples} points", form, median)
            totals[form].append(median)
        means = [run[form].mean for run in runs for form in given.forms]
        if max(means) - min(means) > 1e-5 * max(means):
            raise SystemExit(f"the forms differ: {means}")
    for form, costs in totals.items():
        columns = list(zip(*costs, strict=True))
        row("all, memory: the largest", form, Cost(sum(columns[0]), sum(columns[1]), *map(max, columns[2:])))


if __name__ == "__main__":
    main()
