"""Zero-to-Hero in miniature: the paper's tables with the small generator, on objects whose other sides are known.

    python bench/zero_to_hero.py OUT --objects 8 [--split test] [--shared ../shared]
    python bench/zero_to_hero.py OUT --gso ../shared/data/gso30 [--count 8]

Every method answers every photo with every seed. OUT gets rows.csv (an answer a line; a stopped run goes on where it
was, and rows of other settings or weights are made again), table.md, and pictures.png (photo, plain, filtered, filtered
and mutual, truth). Eight views all around are made, as many as in the paper's protocol, none of them the photo's own;
`--views` takes others. Every view is made for itself, so fewer of them are no other views. Methods with the same
settings are tried once. Without guidance by default, as the small generator is used; `--guidance 2` doubles the work.
The oracle's maps know the side that the photo hides.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from hero_cases import Case, of_gso, of_objects
from hero_methods import ORACLE, PICTURED, diversity, evaluations, ladder, with_true_maps
from hero_tables import Answer, differences, read, table_of, write

from epimesh.decoders import VaeDecoder
from epimesh.evaluation.metrics.images import compare_views, mean_scores
from epimesh.pipeline.fingerprint import fingerprint
from epimesh.runtime import Runtime
from epimesh.stages import SmallZero123
from epimesh.views import Views, contact_sheet

NOVEL = range(1, 16)  # view 0 is the photo's
PICTURED_VIEW = 4  # a quarter turn
DECODER = VaeDecoder()


@dataclass(frozen=True)
class Bench:
    """Methods by table, and how they are tried."""

    tables: dict[str, dict[str, SmallZero123]]
    seeds: tuple[int, ...]
    views: tuple[int, ...]
    device: str

    def answers(self, cases: Sequence[Case], file: Path) -> list[Answer]:
        """All lines. Those of an earlier call with the same settings are read back; each object's are kept at once."""
        known = read(file)
        asked = [(table, method, case) for case in cases for table in self.tables for method in self.tables[table]]
        for table, method, case in asked:
            stage = self.tables[table][method]
            photo = case.photo.rgba.numpy().tobytes().hex()
            key = fingerprint(method == ORACLE, stage, self.seeds, self.views, self.device, photo)[:12]
            same = [one for one in known if (one.key, one.object) == (key, case.name)]
            if any((one.table, one.method) == (table, method) for one in same):
                continue
            others = [one for one in known if (one.table, one.method, one.object) != (table, method, case.name)]
            said = same[: len(self.seeds)] or self._asked(key, table, method, stage, case)
            known = others + [replace(one, table=table, method=method) for one in said]
            write(known, file)
            print(f"{case.name}: {method}", flush=True)
        wanted = {(table, method, case.name) for table, method, case in asked}
        return [one for one in known if (one.table, one.method, one.object) in wanted]

    def _asked(self, key: str, table: str, method: str, stage: SmallZero123, case: Case) -> list[Answer]:
        runtimes = [Runtime(self.device, seed) for seed in self.seeds]
        taken, said = [], []
        for runtime in runtimes:
            started = time.perf_counter()
            said.append(imagined(method, stage, case, self.views, runtime))
            taken.append(round(time.perf_counter() - started, 2))
        stage.release()
        spread = torch.stack([views.rgb for views in said])
        variance = float(spread.var(dim=0).mean()) if len(said) > 1 else 0.0
        answers = []
        for runtime, views, seconds in zip(runtimes, said, taken, strict=True):
            scores = asdict(mean_scores(compare_views(views, case.truth[list(self.views)])))
            made = evaluations(stage)
            answers.append(
                Answer(key, table, method, case.name, runtime.seed, made, seconds, **scores, variance=variance)
            )
        return answers


def imagined(method: str, stage: SmallZero123, case: Case, numbers: Sequence[int], runtime: Runtime) -> Views:
    """These views of the ring."""
    asked = with_true_maps(stage, case, numbers, runtime) if method == ORACLE else stage
    views = DECODER(asked.of_ring(case.photo, numbers, runtime=runtime), runtime=runtime)
    return Views(rgb=views.rgb.float().cpu(), alpha=views.alpha.float().cpu(), cameras=views.cameras)


def pictures(cases: Sequence[Case], methods: dict[str, SmallZero123], device: str, file: Path) -> None:
    """A row per object: the photo, the methods at a quarter turn, the truth."""
    shown = []
    for case in cases:
        runtime = Runtime(device)
        answers = [imagined(name, methods[name], case, [PICTURED_VIEW], runtime).rgb[0] for name in PICTURED]
        shown += [case.photo.resized(case.truth.cameras.width).on_white(), *answers, case.truth.rgb[PICTURED_VIEW]]
    contact_sheet(torch.stack(shown), columns=len(PICTURED) + 2).save(file)


def main() -> None:
    """Measures, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--objects", type=int, help="the first so many of --shared")
    parser.add_argument("--gso", type=Path, help="a folder of rendered scans instead")
    parser.add_argument("--count", type=int, help="with --gso: only the first")
    parser.add_argument("--names", nargs="*", default=[], help="only these objects")
    parser.add_argument("--split", default="test")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder that holds data/")
    parser.add_argument("--weights", default="bundled:syncdreamer-small")
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--views", type=int, nargs="+", choices=NOVEL, default=list(NOVEL[::2]), help="of the ring")
    parser.add_argument("--tables", nargs="+", choices=["ladder", "diversity"], default=["ladder", "diversity"])
    parser.add_argument("--methods", nargs="*", default=[], help="only these; all by default")
    parser.add_argument("--share", type=float, default=1.0, help="of the steps, to see quickly that it runs")
    parser.add_argument("--pictures", type=int, default=8, help="of how many objects")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    if given.gso:
        cases = of_gso(given.gso, given.count, given.names)
    else:
        cases = of_objects(given.shared / "data" / "objects", given.split, given.objects, given.names)
    base = SmallZero123(weights=given.weights, start=1000, guidance=given.guidance)
    everything = {"ladder": ladder(base, given.share), "diversity": diversity(base, given.share)}
    chosen = {name: {**everything[name]} for name in given.tables}
    if given.methods:
        chosen = {name: {one: table[one] for one in given.methods if one in table} for name, table in chosen.items()}
    device = Runtime(given.device).device
    given.out.mkdir(parents=True, exist_ok=True)
    answers = Bench(chosen, tuple(given.seeds), tuple(given.views), device).answers(cases, given.out / "rows.csv")
    told = [
        f"{len(cases)} objects, seeds {given.seeds}, {given.weights}, guidance {given.guidance:g}, {device}. Mean over "
        f"objects ± standard deviation over seeds of that mean; views {given.views}, which the photo does not show."
    ]
    told += [table_of([one for one in answers if one.table == name], name) for name in given.tables]
    told.append(differences([one for one in answers if one.table == "ladder"]))
    (given.out / "table.md").write_text("\n\n".join(told) + "\n")
    print("\n\n".join(told))
    if given.pictures:
        pictures(cases[: given.pictures], everything["ladder"], device, given.out / "pictures.png")


if __name__ == "__main__":
    main()
