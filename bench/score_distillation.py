"""Whether score distillation improves a surface: unseen views and the photo's own, before and after.

    python bench/score_distillation.py OBJECTS OUT [--objects 8] [--seeds 0 1 2] [--preset fast] [--variants ...]

Writes a line of JSON per object, seed and variant into OUT and leaves out what is there: stop it when you like.
`--table` prints medians over objects of what OUT holds, and the spread over seeds.
"""

import argparse
import json
import resource
import statistics
import time
from pathlib import Path

from extrapolation_cases import case, photo_psnr, scores, truths, unseen

from epimesh.reconstruction import ScoreDistillation
from epimesh.runtime import Runtime
from epimesh.stages import SmallSyncDreamer, SmallZero123

VARIANTS = {
    "zero123": lambda: ScoreDistillation(guide=SmallZero123()),
    "zero123 guidance 3": lambda: ScoreDistillation(guide=SmallZero123(), guidance=3.0),
    "zero123 latent": lambda: ScoreDistillation(guide=SmallZero123(), space="latent", rate=0.02),
    "syncdreamer": lambda: ScoreDistillation(guide=SmallSyncDreamer(), steps=12),
    "zero123 distances": lambda: ScoreDistillation(guide=SmallZero123(), distances=True),
}


def main() -> None:
    """Measures, or prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objects_folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--objects", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    kept = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.is_file() else []
    if args.table:
        table(kept)
        return
    done = {(row["object"], row["seed"], row["variant"]) for row in kept}
    for name, truth in truths(args.objects_folder, args.objects):
        for seed in args.seeds:
            wanted = [variant for variant in args.variants if (name, seed, variant) not in done]
            if wanted:
                measure(name, truth, seed, wanted, args)


def measure(name, truth, seed, wanted, args) -> None:  # type: ignore[no-untyped-def]
    """One object with one seed."""
    given, views = case(name, truth, args.preset, seed), unseen(truth)
    before, own = scores(given.surface, views), photo_psnr(given.surface, truth)
    for variant in wanted:
        runtime, cpu = Runtime("cpu", seed), time.process_time()
        made = VARIANTS[variant]()(given.surface, given.views, truth.photo, runtime=runtime)
        cpu, after = time.process_time() - cpu, scores(made, views)
        row = {
            "object": name,
            "seed": seed,
            "variant": variant,
            "psnr": after.object_psnr - before.object_psnr,
            "ssim": after.ssim - before.ssim,
            "photo": photo_psnr(made, truth) - own,
            "before": [before.object_psnr, before.ssim, own],
            "stopped": bool(runtime.reporter.notes),
            "cpu": cpu,
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        }
        with args.out.open("a") as out:
            out.write(json.dumps(row) + "\n")


def table(rows: list[dict]) -> None:
    """Gains in dB and SSIM, median over objects of the mean over seeds."""
    print(
        "| variant | objects x seeds | unseen dB | SSIM | photo dB | spread of seeds dB | stopped | CPU s |\n|"
        + "---|" * 8
    )
    for variant in dict.fromkeys(row["variant"] for row in rows):
        mine = [row for row in rows if row["variant"] == variant]
        named = {row["object"]: [one for one in mine if one["object"] == row["object"]] for row in mine}
        gains = {
            key: statistics.median(statistics.mean(one[key] for one in some) for some in named.values())
            for key in ("psnr", "ssim", "photo")
        }
        spread = statistics.median(statistics.pstdev([one["psnr"] for one in some]) for some in named.values())
        stopped, cpu = sum(row["stopped"] for row in mine), statistics.median(row["cpu"] for row in mine)
        print(
            f"| {variant} | {len(named)} x {len(mine) / len(named):.1f} | {gains['psnr']:+.2f} | "
            f"{gains['ssim']:+.4f} | {gains['photo']:+.2f} | {spread:.3f} | {stopped} | {cpu:.0f} |"
        )


if __name__ == "__main__":
    main()
