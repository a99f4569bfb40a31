"""What the small epipolar decoder is worth: likeness to the truth, and how well neighbouring views agree.

    python bench/epipolar_decoding.py OBJECTS --weights checkpoints/epipolar-small --split val --objects 12
    python bench/epipolar_decoding.py OBJECTS --weights checkpoints/epipolar-small --imagined

Every object is decoded from its true latents, from those with noise of .2 and .4 of their deviation, and with
--imagined from those that the small generator makes of its photo; with true depth, and with that of a quick hull of the
plainly decoded views, as in a pipeline. Three decoders: the patch autoencoder's (plain), its layers after the training
without attention (alone), and all of it (ours).

Object PSNR compares with the true views. Warp PSNR carries the colours of every view into the next, by true depth and
where both see the same surface, and compares: it measures agreement, whatever the truth. The true views have one, too.
Means over objects, and how much the gain over plain deviates among them.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.data.objects import read_manifest
from epimesh.decoders import CoarseDepth, SmallEpipolarDecoder, VaeDecoder
from epimesh.evaluation.consistency import warp_psnr
from epimesh.evaluation.images import psnr
from epimesh.evaluation.truth_object import truth_object
from epimesh.photo import Photo
from epimesh.reconstruction import VisualHull
from epimesh.runtime import Runtime
from epimesh.stages import Zero123
from epimesh.views import LatentViews, Views

SIZE, PHOTO_SIZE = 128, 256
NOISES = (0.0, 0.2, 0.4)


def agreement(views: Views, depth: Float[Tensor, "V H W"]) -> float:
    """Warp PSNR by true depth; not a number where no two neighbours see the same surface."""
    found = warp_psnr(views, depth)
    return float("nan") if found is None else found


def latents_of(truth: Views, photo: Photo, decoder: VaeDecoder, imagined: bool) -> Iterator[tuple[str, LatentViews]]:
    """What is decoded, with its name."""
    clean = decoder.autoencoder.encode(torch.cat([truth.rgb, truth.alpha], dim=1))
    random = torch.Generator().manual_seed(0)
    for strength in NOISES:
        noise = torch.randn(clean.shape, generator=random) * clean.std((0, 2, 3))[:, None, None]
        made = LatentViews(clean + strength * noise, truth.cameras, photo, "patch")
        yield f"true, noise {strength}", made
    if imagined:
        yield "imagined", Zero123()(photo, runtime=Runtime("cpu"))


def decoded(stage: SmallEpipolarDecoder, latents: LatentViews, depth: Tensor | None) -> Views:
    """By the network of a stage; without depth, each view alone."""
    network, photo = stage.network, latents.photo.resized(SIZE)
    with torch.inference_mode():
        segments = None if depth is None else network.segments(latents.cameras, photo.camera, depth[None])
        rgba = network(latents.latents[None], segments, photo.on_white()[None])[0].clamp(0, 1).clone()
    return Views(rgb=rgba[:, :3].clone(), alpha=rgba[:, 3:].clone(), cameras=latents.cameras)


def main() -> None:
    """Decodes and compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objects_folder", type=Path)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--objects", type=int, default=12)
    parser.add_argument("--imagined", action="store_true", help="also from what the small generator makes of the photo")
    given = parser.parse_args()

    plain, cpu = VaeDecoder(batch=16), Runtime("cpu")
    coarse = CoarseDepth(decode=plain, reconstruct=VisualHull())
    ours = SmallEpipolarDecoder(weights=given.weights, depth=coarse)
    scores: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for record in read_manifest(given.objects_folder, given.split)[: given.objects]:
        object_truth = truth_object(record, elevation_deg=20.0, size=PHOTO_SIZE)
        truth = object_truth.views(Cameras.ring(size=SIZE))
        assert truth.depth is not None
        scores["the truth itself", "-"].append((float("nan"), agreement(truth, truth.depth)))
        for kind, latents in latents_of(truth, object_truth.photo, plain, given.imagined):
            answers = {
                "plain": plain(latents, runtime=cpu),
                "alone": decoded(ours, latents, None),
                "ours, true depth": decoded(ours, latents, truth.depth),
                "ours, depth of a hull": decoded(ours, latents, coarse(latents, runtime=cpu)),
            }
            for name, views in answers.items():
                pairs = zip(views.rgb, truth.rgb, truth.alpha[:, 0] > 0.5, strict=True)
                likeness = mean(psnr(found, true, where) for found, true, where in pairs)
                scores[kind, name].append((likeness, agreement(views, truth.depth)))
        print(f"{record.id} done", flush=True)
    report(scores)


def report(scores: dict[tuple[str, str], list[tuple[float, float]]]) -> None:
    """A Markdown table."""
    print("\n| latents | decoder | object PSNR | minus plain | warp PSNR | minus plain |\n|---|---|---|---|---|---|")
    for (kind, name), rows in scores.items():
        cells = []
        for column in (0, 1):
            values = [row[column] for row in rows]
            cells.append(f"{mean(values):.2f}")
            plain = [row[column] for row in scores.get((kind, "plain"), rows)]
            gains = [value - before for value, before in zip(values, plain, strict=True)]
            spread = f" ± {stdev(gains):.2f}" if len(gains) > 1 else ""
            cells.append(f"{mean(gains):+.2f}{spread}" if name.startswith(("ours", "alone")) else "-")
        print(f"| {kind} | {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
