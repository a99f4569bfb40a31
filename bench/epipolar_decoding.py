"""What depth-truncated epipolar attention is worth: the ablations of its paper in miniature, on held-out objects.

    python bench/epipolar_decoding.py OUT --trained FOLDER --objects SHARED/data/objects --count 8
    python bench/epipolar_decoding.py OUT --trained FOLDER --gso SHARED/data/gso30 --count 6
    python bench/epipolar_decoding.py OUT --weights bundled:epipolar-small --objects SHARED/data/objects --count 12

FOLDER holds weights of the variants, NAME-SEED each (`scripts/train_small_epipolar.py train ... --variant NAME`). Every
seed is one of the training and of the generator. Objects of `--split` are realistic ones; their photo is seen from
elevation 30. Latents are those of the true views (encoded) and what the small SyncDreamer makes of the photo
(imagined). Rough depth is that of a quick NeuS of the plainly decoded views, the same for all.

    plain              the bundled autoencoder's decoder
    plain, trained     its layers trained as the others were, without attention
    photo only         attention to the photo, none between views
    whole lines        attention along whole epipolar lines, but not at the finest level
    no noise, independent noise, ours: near the rough depth; trained with exact depth, or with noise of that kind
    shipped            the weights of --weights; `true depth`: told the true depth, `two rounds`: depth of a NeuS of the
                       first round's answer

Likeness: PSNR (all, and within the silhouettes), SSIM, silhouette IoU, sharpness against the true views. Agreement of
neighbours: warp PSNR by true depth, SIFT matches on each other's epipolar lines, how far true depth carries them from
each other, and, with --rerender, the views against a NeuS of them. No trained matcher and no LPIPS: their networks do
not ship. OUT gets a file per object (a stopped run goes on where it was) and table.md.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from epipolar_cases import (
    COARSE,
    ELEVATION_DEG,
    PHOTO_SIZE,
    PLAIN,
    QUICK,
    Trained,
    latents_of,
    ring_views,
    subjects,
    trained_variants,
)
from jaxtyping import Float
from torch import Tensor

from epimesh.evaluation.ground_truth.truth_object import Subject
from epimesh.evaluation.metrics.metric import METRICS
from epimesh.evaluation.metrics.scores import Scores
from epimesh.evaluation.protocols.evaluator import Evaluator, GeneratorProtocol, Prediction
from epimesh.evaluation.report.summary import bootstrap_interval, summarise
from epimesh.files.atomic import atomic_file
from epimesh.pipeline.fingerprint import fingerprint
from epimesh.runtime import Runtime
from epimesh.training.epipolar.small_variants import VARIANTS
from epimesh.views import LatentViews, Views
from epimesh.weights import identity

SHOWN = (
    "psnr", "object_psnr", "ssim", "silhouette_iou", "sharpness", "warp_psnr", "matches", "reprojection_px",
    "rerender_psnr",
)  # fmt: skip
COMPARED = ("object_psnr", "silhouette_iou", "warp_psnr", "matches", "rerender_psnr")
KINDS = ("encoded", "imagined")
ROUNDING = 1e-9  # what answers that do not depend on the seed may differ by


@dataclass(frozen=True)
class Bench:
    """Which decoders answer.

    Args:
        trained: folder of the variants' weights.
        weights: of the decoder that ships.
        seeds: of training and generator.
        rerender: also reconstruct every answer.
    """

    trained: Path | None
    weights: str | None
    seeds: tuple[int, ...]
    rerender: bool

    def rows(self, subject: Subject, out: Path) -> list[Scores]:
        """All answers about one object; those of an earlier call with the same weights are read back."""
        file, key = out / f"{subject.id}.json", self._key(subject)
        if file.is_file() and (kept := json.loads(file.read_text()))["key"] == key:
            return [Scores(**row) for row in kept["rows"]]
        rows = list(self._asked(subject))
        with atomic_file(file) as unfinished:
            unfinished.write_text(json.dumps({"key": key, "rows": [asdict(row) for row in rows]}, indent=1))
        return rows

    def _key(self, subject: Subject) -> str:
        folders = [one.folder for seed in self.seeds for one in self._variants(seed).values()]
        sources = [*folders, *([self.weights] if self.weights else [])]
        return fingerprint(subject.content, self.seeds, self.rerender, COARSE, *map(identity, sources))

    def _variants(self, seed: int) -> dict[str, Trained]:
        return {} if self.trained is None else trained_variants(self.trained, seed)

    def _asked(self, subject: Subject) -> Iterator[Scores]:
        truth = subject.truth(elevation_deg=ELEVATION_DEG, size=PHOTO_SIZE)
        evaluator = Evaluator(subject.id, truth, GeneratorProtocol(elevation_deg=ELEVATION_DEG), agreement=True)
        yield evaluator.row("the true views", lambda: Prediction(views=evaluator.true_views))
        views = ring_views(truth)
        assert views.depth is not None
        for seed in self.seeds:
            for kind, latents in latents_of(views, truth.photo, seed):
                depth = COARSE(latents, runtime=Runtime("cpu", seed))
                decoders = self._decoders(seed, latents, depth, views.depth)
                for name, decode in decoders.items():
                    yield evaluator.row(f"{kind}: {name}", partial(self._answer, decode, latents, seed, kind), seed)

    def _decoders(
        self, seed: int, latents: LatentViews, depth: Float[Tensor, "V H W"], true: Float[Tensor, "V H W"]
    ) -> dict[str, Callable[[], Views]]:
        found: dict[str, Callable[[], Views]] = {"plain": lambda: PLAIN(latents, runtime=Runtime("cpu"))}
        for name, trained in self._variants(seed).items():
            found["plain, trained" if name == "plain" else name] = partial(trained, latents, depth)
        if self.weights:
            shipped = Trained(VARIANTS["ours"], self.weights)
            found["shipped"] = partial(shipped, latents, depth)
            found["shipped, true depth"] = partial(shipped, latents, true)
            found["shipped, two rounds"] = partial(_two_rounds, shipped, latents, depth, seed)
        return found

    def _answer(self, decode: Callable[[], Views], latents: LatentViews, seed: int, kind: str) -> Prediction:
        views = decode()
        if not self.rerender or kind != "imagined":
            return Prediction(views)
        return Prediction(views, surface=QUICK(views, latents.photo, runtime=Runtime("cpu", seed)))


def _two_rounds(shipped: Trained, latents: LatentViews, depth: Float[Tensor, "V H W"], seed: int) -> Views:
    again = COARSE.shown_by(shipped(latents, depth), latents, runtime=Runtime("cpu", seed))
    return shipped(latents, again)


def table(rows: Sequence[Scores]) -> str:
    """Markdown: means with the deviation of the mean over seeds; then what each decoder adds to the plain one."""
    summaries = {(one.method, one.measure): one for one in summarise(rows)}
    shown = [measure for measure in SHOWN if any(measure == other for _, other in summaries)]
    lines = [
        f"{len({row.object for row in rows})} objects. Mean ± standard deviation over seeds of the mean over objects.",
        "",
        "| latents: decoder | " + " | ".join(METRICS[measure].title for measure in shown) + " |",
        "|---" * (len(shown) + 1) + "|",
    ]
    for method in dict.fromkeys(row.method for row in rows):
        cells = []
        for measure in shown:
            found = summaries.get((method, measure))
            spread = f" ± {found.seed_spread:.2g}" if found and (found.seed_spread or 0) > ROUNDING else ""
            cells.append(f"{found.mean:.4g}{spread}" if found else "-")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    compared = [measure for measure in COMPARED if measure in shown]
    lines += [
        "",
        "Minus plain, object by object, with the 95 % interval over objects drawn again and again:",
        "",
        "| latents: decoder | " + " | ".join(METRICS[measure].title for measure in compared) + " |",
        "|---" * (len(compared) + 1) + "|",
    ]
    for method in dict.fromkeys(row.method for row in rows):
        kind = method.split(":")[0]
        if kind in KINDS and method != f"{kind}: plain":
            cells = [_gain(rows, method, f"{kind}: plain", measure) for measure in compared]
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _gain(rows: Sequence[Scores], method: str, other: str, measure: str) -> str:
    """The mean difference over objects of what was measured for both."""
    values: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        value = row[measure]
        if row.method in (method, other) and value is not None:
            values.setdefault(row.object, {}).setdefault(row.method, []).append(value)
    gains = [np.mean(one[method]) - np.mean(one[other]) for one in values.values() if len(one) == 2]
    if not gains:
        return "-"
    low, high = bootstrap_interval(np.array(gains))
    return f"{np.mean(gains):+.3g} [{low:+.3g}, {high:+.3g}]"


def main() -> None:
    """Asks, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--trained", type=Path)
    parser.add_argument("--weights")
    parser.add_argument("--objects", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--gso", type=Path)
    parser.add_argument("--count", type=int, default=8, help="objects of each set")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rerender", action="store_true", help="also the views against a NeuS of them; 10 s each")
    given = parser.parse_args()

    bench = Bench(given.trained, given.weights, tuple(given.seeds), given.rerender)
    given.out.mkdir(parents=True, exist_ok=True)
    rows: list[Scores] = []
    for subject in subjects(given.objects, given.split, given.count, given.gso, given.count):
        rows += bench.rows(subject, given.out)
        print(f"{subject.id} done", flush=True)
        (given.out / "table.md").write_text(table(rows) + "\n")
    for row in rows:
        if row.failure:
            print(f"{row.object}, {row.method}, seed {row.seed}: {row.failure}")
    print(table(rows))


if __name__ == "__main__":
    main()
