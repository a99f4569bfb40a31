"""Kills runs at random moments, lets them go on, and compares the bits: a process of its own, which imports only once.

    python tests/pipeline/kill_runs.py FOLDER PRESET TIMES [--seconds 3600]

FOLDER holds ball.png, and PRESET if that is a file. Every run is a fork, so that what is killed is work and not
imports. Says the counts as JSON, and ends with an error at the first result that differs or cannot be made.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from epimesh.cli import main


def started(out: Path, preset: str) -> int:
    """A child that makes a mesh of ball.png; its output goes nowhere."""
    child = os.fork()
    if child:
        return child
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    code = 1
    try:
        code = main(["run", "ball.png", "--preset", preset, "--out", str(out)])
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """The exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def asset(out: Path) -> str:
    """What the mesh is, bit by bit."""
    return hashlib.sha256((out / f"{out.name}.glb").read_bytes()).hexdigest()


def one_kill(out: Path, preset: str, whole: float, expected: str, dice: random.Random) -> list[str]:
    """Stops a run, lets another go on where it was, and compares. Returns what happened, for the counts."""
    child, chosen = started(out, preset), dice.choice([signal.SIGKILL, signal.SIGINT])
    time.sleep(dice.uniform(0, 1) * whole)
    os.kill(child, chosen)
    code = ended(child)
    stages = len([folder for folder in out.glob("[0-9]-*") if folder.is_dir()]) if out.is_dir() else 0
    if (again := ended(started(out, preset))) != 0:
        raise SystemExit(f"{out} could not be finished: exit code {again} after {chosen.name} with {stages} stages")
    if asset(out) != expected:
        raise SystemExit(f"{out} differs after {chosen.name} with {stages} stages")
    if rest := list(out.glob(".*")):
        raise SystemExit(f"{out} was left with {rest}")
    shutil.rmtree(out)
    return [chosen.name if code != 0 else "ended before", f"{stages} stages were saved", "the same bits"]


def killed(folder: Path, preset: str, times: int, seconds: float) -> Counter[str]:
    """What came of so many kills, or of as many as the time allows."""
    os.chdir(folder)
    if ended(started(Path("whole/ball"), preset)) != 0:  # the first compiles what is not compiled yet
        raise SystemExit("The run does not even end by itself.")
    begun = time.monotonic()
    ended(started(Path("timed/ball"), preset))
    whole, expected, dice = time.monotonic() - begun, asset(Path("whole/ball")), random.Random(0)
    counts: Counter[str] = Counter()
    for number in range(times):
        if time.monotonic() - begun > seconds:
            break
        counts.update(one_kill(Path(f"cut{number}/ball"), preset, whole, expected, dice))
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("preset")
    parser.add_argument("times", type=int)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    given = parser.parse_args()
    sys.stdout.write(json.dumps(killed(given.folder, given.preset, given.times, given.seconds)))
