"""What the epipolar attention costs at full size, against the literal formula: CPU seconds, wall seconds, memory.

    OMP_NUM_THREADS=2 python bench/epipolar_attention.py
    python bench/epipolar_attention.py --levels 1 2 --forms fast --repeats 3
    python bench/epipolar_attention.py --device cuda --repeats 5 [--precision fp16]

Six views and the four levels of Stable Video Diffusion's decoder, in single precision, without gradients, on random
maps and weights. Every pixel is of known depth: with the usual object half of them are not, and the fast form skips
those. Every form of every level runs in a process of its own, so that its peak memory is its own; forms take turns.
Memory is counted on top of what the process holds before: PyTorch, weights, maps and positions, the same for both.
On a GPU all runs share one process, and memory is the GPU's. A form that does not fit says so.

Measured on two cores of a shared machine: 80 CPU s and 7.9 GB for the literal form, 8.7 CPU s and 0.65 GB for the fast.
"""

import argparse
import json
import os
import subprocess
import sys

import torch
from epipolar_cost import LEVELS, PRECISIONS, VIEWS, Cost, cost_on_cpu, cost_on_gpu

from epimesh.decoders.epipolar.attention import MAX_BYTES


def measured(form: str, level: int, given: argparse.Namespace) -> Cost:
    """One run, on a CPU in a process of its own."""
    if given.device != "cpu":
        return cost_on_gpu(form, LEVELS[level - 1], given.max_bytes, given.precision)
    # Waiting for the other thread is no work, and would count as CPU time if it were done by spinning.
    environment = os.environ | {"OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, __file__, "--one", form, str(level), "--max-bytes", str(given.max_bytes)]
    return Cost(*json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout))


def runs_of(level: int, given: argparse.Namespace) -> dict[str, list[Cost]]:
    """All runs of the forms that can run, by turns."""
    runs: dict[str, list[Cost]] = {form: [] for form in given.forms}
    for _ in range(given.repeats):
        for form in list(runs):
            try:
                runs[form].append(measured(form, level, given))
            except RuntimeError as error:  # out of the GPU's memory, or a precision that an operation does not know
                print(f"| level {level} | {form} | does not run: {str(error).splitlines()[0]} |", flush=True)
                del runs[form]
    return runs


def check_same(runs: dict[str, list[Cost]], precision: str) -> None:
    """Ends the program if the forms give different results."""
    means = [run.mean for costs in runs.values() for run in costs]
    if means and max(means) - min(means) > (1e-5 if precision == "fp32" else 2e-2) * max(means):
        raise SystemExit(f"the forms differ: {means}")


def row(name: str, form: str, cost: Cost) -> None:
    """One line of the table."""
    memory = f"{cost.extra / 1e6:.0f} | {cost.peak / 1e6:.0f}"
    print(f"| {name} | {form} | {cost.cpu:.4g} | {cost.wall:.4g} | {memory} |", flush=True)


def main() -> None:
    """Reads the settings and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--levels", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--forms", nargs="+", choices=["literal", "fast"], default=["literal", "fast"])
    parser.add_argument("--repeats", type=int, default=1, help="the median counts")
    parser.add_argument("--max-bytes", type=int, default=MAX_BYTES, help="the fast form's limit")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=list(PRECISIONS), default="fp32", help="on a GPU")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(cost_on_cpu(given.one[0], LEVELS[int(given.one[1]) - 1], given.max_bytes)))
        return
    on_cpu = given.device == "cpu"
    where = f"{torch.get_num_threads()} threads" if on_cpu else f"{torch.cuda.get_device_name()}, {given.precision}"
    print(f"{VIEWS} views, {where}, at most {given.max_bytes / 1e6:.0f} MB of hidden layers at a time\n")
    print("| level | form | CPU s | wall s | MB on top | MB in all |\n|---|---|---|---|---|---|", flush=True)
    totals: dict[str, list[Cost]] = {form: [] for form in given.forms}
    for level in given.levels:
        runs = runs_of(level, given)
        for form, costs in runs.items():
            # A GPU works while the CPU waits; on a CPU shared with others only its own time says something.
            median = sorted(costs, key=lambda cost: cost.cpu if on_cpu else cost.wall)[given.repeats // 2]
            channels, size, samples = LEVELS[level - 1]
            row(f"{size} x {size}, {channels} channels, {samples} points", form, median)
            totals[form].append(median)
        check_same(runs, given.precision)
    for form, costs in totals.items():
        if len(costs) == len(given.levels):
            columns = list(zip(*costs, strict=True))
            row("all, memory: the largest", form, Cost(sum(columns[0]), sum(columns[1]), *map(max, columns[2:])))


if __name__ == "__main__":
    main()
