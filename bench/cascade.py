"""What prompts are worth to the refiner of a cascade: the questions of Cascade-Zero123's paper in miniature.

    python bench/cascade.py OUT --refiner FOLDER [--objects 8] [--split test] [--shared ../shared]
    python bench/cascade.py OUT --refiner FOLDER --gso ../shared/data/gso30 [--count 8]
    python bench/cascade.py OUT --refiner FOLDER --control FOLDER ...

FOLDER is what `scripts/train_small_cascade.py` or `epimesh train cascade-small` exports; `--control` is the same
training without prompts. The base is the small Zero-1-to-3 that ships, unless the row says otherwise:

    single                      no cascade; `twice the steps` spends what a cascade costs
    control                     trained on for as long as the refiner, without prompts
    refiner, photo only         the refiner without prompts
    + attempt, + nearby, all    prompts of the base: its attempt at the wanted view, its views at 45 degrees, both
    far prompts, seven prompts  at 90 and 180 degrees; all around
    true prompts                nearby views and attempts at other views are the truth: what nobody has
    another object's prompts    what it says of the wrong object: if that does no harm, prompts are not read
    prompts of SyncDreamer      its 16 views, made together

Likeness of the 15 views that the photo does not show, decoded plainly. OUT gets rows.csv (a view a line) and table.md.
"""

import argparse
import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from hero_cases import Case, of_gso, of_objects

from epimesh.decoders import VaeDecoder
from epimesh.diffusion.autoencoder import load_autoencoder
from epimesh.evaluation.metrics.images import compare_views
from epimesh.evaluation.report.summary import bootstrap_interval
from epimesh.photo import Photo
from epimesh.pipeline.contracts import ViewGenerator
from epimesh.runtime import Runtime
from epimesh.stages import SmallCascadeZero123, SmallSyncDreamer, SmallZero123
from epimesh.views import LatentViews, Views

MEASURES = ("psnr", "object_psnr", "ssim", "silhouette_iou")
STEP_DEG = 22.5
BINS_DEG = ((0, 45), (45, 90), (90, 135), (135, 180))
FAR, SEVEN = (4, 8, 12), (2, 4, 6, 8, 10, 12, 14)
DECODER = VaeDecoder()


@dataclass(frozen=True)
class Line:
    """One view of one answer."""

    method: str
    object: str
    seed: int
    turn_deg: float
    psnr: float
    object_psnr: float
    ssim: float
    silhouette_iou: float


@dataclass(frozen=True, kw_only=True)
class Given(ViewGenerator):
    """A base that says what it was given."""

    latents: LatentViews
    latent_space = "patch"

    def __call__(self, photo: Photo, *, runtime: Runtime) -> LatentViews:
        """The same for every photo."""
        return self.latents


def methods(single: SmallZero123, refiner: str, control: str | None) -> dict[str, ViewGenerator]:
    """Those that need nothing but the photo."""
    settings = {"start": single.start, "steps": single.steps}
    cascade = SmallCascadeZero123(weights=refiner, base=single, **settings)
    alone = replace(cascade, nearby=(), coarse_target=False)
    return {
        "single": single,
        "single, twice the steps": replace(single, steps=2 * single.steps),
        **({"control": replace(alone, weights=control)} if control else {}),
        "refiner, photo only": alone,
        "+ attempt": replace(cascade, nearby=()),
        "+ nearby": replace(cascade, coarse_target=False),
        "all": cascade,
        "far prompts": replace(cascade, nearby=FAR),
        "seven prompts": replace(cascade, nearby=SEVEN),
        "prompts of SyncDreamer": replace(cascade, base=SmallSyncDreamer()),
        "SyncDreamer": SmallSyncDreamer(),
    }


def told(cascade: SmallCascadeZero123, case: Case, other: LatentViews) -> dict[str, ViewGenerator]:
    """Those that are told more, or something wrong."""
    autoencoder = load_autoencoder(cascade.autoencoder)
    with torch.inference_mode():
        latents = autoencoder.encode(torch.cat([case.truth.rgb, case.truth.alpha], dim=1))
    truth = Given(latents=LatentViews(latents, case.truth.cameras, case.photo, "patch"))
    return {
        "true prompts": replace(cascade, base=truth, coarse_target=False),
        "another object's prompts": replace(cascade, base=Given(latents=other)),
    }


def answers(cases: Sequence[Case], asked: dict[str, ViewGenerator], seeds: Sequence[int]) -> Iterator[Line]:
    """Every method on every object, object by object."""
    cascade, base = asked["all"], asked["single"]
    assert isinstance(cascade, SmallCascadeZero123)
    for number, case in enumerate(cases):
        for seed in seeds:
            runtime = Runtime("cpu", seed)
            other = base(cases[number - 1].photo, runtime=runtime)
            for name, stage in {**asked, **told(cascade, case, other)}.items():
                views = DECODER(stage(case.photo, runtime=runtime), runtime=runtime)
                yield from lines(name, case, seed, views)
        print(case.name, flush=True)


def lines(method: str, case: Case, seed: int, views: Views) -> Iterator[Line]:
    """The likeness of every view but the photo's."""
    for number, scores in enumerate(compare_views(views, case.truth)):
        if number:
            turn = min(number, len(case.truth) - number) * STEP_DEG
            yield Line(method, case.name, seed, turn, **{name: getattr(scores, name) for name in MEASURES})


def mean_of(rows: Sequence[Line], measure: str, by: Callable[[Line], object]) -> dict[object, float]:
    """Means over the rows that agree in something."""
    found: dict[object, list[float]] = {}
    for row in rows:
        if np.isfinite(getattr(row, measure)):
            found.setdefault(by(row), []).append(getattr(row, measure))
    return {key: float(np.mean(values)) for key, values in found.items()}


def likeness_table(rows: Sequence[Line]) -> str:
    """Mean ± deviation over seeds of that mean; then PSNR by how far the view is turned from the photo."""
    bins = [f"{low} to {high} degrees" for low, high in BINS_DEG]
    table = ["| prompts | " + " | ".join([*MEASURES, *bins]) + " |", "|---" * (1 + len(MEASURES) + len(bins)) + "|"]
    for method in dict.fromkeys(row.method for row in rows):
        mine = [row for row in rows if row.method == method]
        cells = []
        for measure in MEASURES:
            seeds = list(mean_of(mine, measure, lambda row: row.seed).values())
            spread = f" ± {np.std(seeds, ddof=1):.2g}" if len(seeds) > 1 else ""
            cells.append(f"{np.mean(seeds):.4g}{spread}")
        for low, high in BINS_DEG:
            cells.append(f"{np.mean([row.psnr for row in mine if low < row.turn_deg <= high]):.2f}")
        table.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(table)


def difference_table(rows: Sequence[Line], other: str) -> str:
    """Minus another method, object by object, with the 95 % interval; and how many objects got worse."""
    table = [f"| minus {other} | " + " | ".join(MEASURES) + " | worse in PSNR |", "|---" * (2 + len(MEASURES)) + "|"]
    for method in dict.fromkeys(row.method for row in rows):
        if method == other:
            continue
        cells, worse = [], ""
        for measure in MEASURES:
            found, base = (
                mean_of([row for row in rows if row.method == one], measure, lambda row: row.object)
                for one in (method, other)
            )
            gains = np.array([found[name] - base[name] for name in base])
            low, high = bootstrap_interval(gains)
            cells.append(f"{gains.mean():+.3f} [{low:+.3f}, {high:+.3f}]")
            worse = worse or f"{int((gains < 0).sum())} of {len(gains)}"
        table.append(f"| {method} | " + " | ".join([*cells, worse]) + " |")
    return "\n".join(table)


def main() -> None:
    """Asks, and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--refiner", required=True, help="folder of weights")
    parser.add_argument("--control", help="folder of weights that were trained on without prompts")
    parser.add_argument("--objects", type=int, help="the first so many of --shared")
    parser.add_argument("--gso", type=Path, help="a folder of rendered scans instead")
    parser.add_argument("--count", type=int, help="with --gso: only the first")
    parser.add_argument("--split", default="test")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder that holds data/")
    parser.add_argument("--start", type=int, default=300, help="time that base and refiner begin at; 1000 is noise")
    parser.add_argument("--steps", type=int, default=4, help="of base and refiner")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    if given.gso:
        cases = of_gso(given.gso, given.count, [])
    else:
        cases = of_objects(given.shared / "data" / "objects", given.split, given.objects, [])
    single = SmallZero123(start=given.start, steps=given.steps)
    rows = list(answers(cases, methods(single, given.refiner, given.control), given.seeds))
    given.out.mkdir(parents=True, exist_ok=True)
    with (given.out / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(asdict(rows[0])))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    said = [
        f"{len(cases)} objects, seeds {given.seeds}, {given.steps} steps from time {given.start}, no guidance.",
        likeness_table(rows),
        difference_table(rows, "single"),
        difference_table(rows, "refiner, photo only"),
    ]
    (given.out / "table.md").write_text("\n\n".join(said) + "\n")
    print("\n\n".join(said))


if __name__ == "__main__":
    main()
