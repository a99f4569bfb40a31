"""`epimesh eval guidance`: how steadily a generator's guidance pulls, and what it does to colours."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epimesh.cli.eval_parser import parsed, parser_of
from epimesh.errors import BadInput

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace
    from torch import Tensor

    from epimesh.evaluation.metrics.trajectory import Trajectory
    from epimesh.pipeline.contracts import ViewGenerator

_DESCRIPTION = """Follows a generator along a deterministic sampling run, at several strengths of guidance.

At every time the noise that is predicted with the photo, without it, and their difference are compared with those
at the time before, by the cosine. Guidance that points somewhere else at every step cannot be distilled well.

guidance.png   the three cosines along the run, at the first strength
sampled.png    a view at every strength
guidance.json  all numbers, and the share of saturated colours at every strength

examples:
  epimesh eval guidance chair.jpg --out guidance
  epimesh eval guidance chair.jpg --guide SmallSyncDreamer --steps 20 --guidance [1,3,7.5,20]
"""
GUIDES = ("SmallZero123", "SmallSyncDreamer", "Zero123")
SHOWN = 4  # number of the view of the ring in the pictures


def main(arguments: list[str]) -> int:
    """Samples and draws. Returns 0."""
    config = parsed(_parser(), arguments)
    _check(config)
    out = Path(config.out).expanduser()
    runs = _runs(config)
    out.mkdir(parents=True, exist_ok=True)
    found = _drawn(runs, config, out)
    (out / "guidance.json").write_text(json.dumps(found, indent=1))
    print(json.dumps(found) if config.json else _table(found, out))
    return 0


def _check(config: "Namespace") -> None:
    if config.guide not in GUIDES or config.steps < 2 or not config.guidance:
        raise BadInput(
            f"--guide is {config.guide}, --steps {config.steps} and --guidance {config.guidance}.\n"
            f"Expected one of {', '.join(GUIDES)}, at least two steps and one strength."
        )


def _guide(config: "Namespace") -> "ViewGenerator":
    import epimesh.stages as stages

    given = {name: config[name] for name in ("weights", "autoencoder", "prior") if config[name] is not None}
    stage: ViewGenerator = getattr(stages, config.guide)(**given)
    return stage


def _runs(config: "Namespace") -> "dict[float, tuple[Trajectory, Tensor]]":
    """The run at every strength, and what one of its views decodes to."""
    import torch

    from epimesh.cameras import Cameras
    from epimesh.diffusion.schedules import uniform_timesteps
    from epimesh.diffusion.score_guide import as_noise, guide_of
    from epimesh.evaluation.metrics.trajectory import trajectory
    from epimesh.runtime import Runtime
    from epimesh.stages import CutOut

    runtime = Runtime(config.device, config.seed)
    photo = CutOut()(Path(config.photo).expanduser(), runtime=runtime)
    guide = guide_of(_guide(config), runtime)
    ring = Cameras.ring(16, size=guide.image_size)
    cameras = ring if guide.joint else ring[SHOWN]
    plain, without = (
        as_noise(guide.denoiser(photo, cameras, scale), guide.schedule, guide.prediction) for scale in (1.0, 0.0)
    )
    empty = torch.zeros(len(cameras), 4, guide.image_size, guide.image_size)
    noise = torch.randn(guide.encode(empty).shape, generator=runtime.generator("guidance"))
    times = uniform_timesteps(config.steps)
    runs = {}
    for strength in config.guidance:
        run = trajectory(plain, without, noise, times, guide.schedule, strength)
        with torch.no_grad():
            runs[strength] = (run, guide.decode(run.clean)[SHOWN if guide.joint else 0])
    return runs


def _drawn(runs: "dict[float, tuple[Trajectory, Tensor]]", config: "Namespace", out: Path) -> dict[str, Any]:
    """The numbers, after the pictures were written."""
    import torch

    from epimesh.diffusion.score_distillation import saturated_share
    from epimesh.evaluation.report.line_chart import line_chart
    from epimesh.views import contact_sheet

    first = next(iter(runs.values()))[0]
    lines = {name: getattr(first, name).tolist() for name in ("unconditional", "conditional", "guidance")}
    title = f"cosine with the prediction before, guidance {config.guidance[0]:g}"
    line_chart(title, "time", [float(time) for time in first.times[1:]], lines).save(out / "guidance.png")
    shown = torch.stack([image for _, image in runs.values()])
    contact_sheet(shown[:, :3], columns=len(shown)).save(out / "sampled.png")
    covered = [image[:3][:, image[3] > 0.5] for image in shown]
    saturated = [saturated_share(one) if one.numel() else None for one in covered]
    return {
        "guide": config.guide,
        "times": first.times,
        "cosines": lines,
        "saturated": dict(zip(map(str, runs), saturated, strict=True)),
    }


def _table(found: dict[str, Any], out: Path) -> str:
    lines = [f"{'':<14} {'mean':>7} {'least':>7}   cosine with the time before"]
    for name, cosines in found["cosines"].items():
        lines.append(f"{name:<14} {sum(cosines) / len(cosines):>7.4f} {min(cosines):>7.4f}")
    lines += ["", f"{'guidance':<10} saturated"]
    lines += [
        f"{name:<10} {'-' if share is None else format(share, '.1%')}" for name, share in found["saturated"].items()
    ]
    return "\n".join([*lines, "", f"Pictures are in {out}."])


def _parser() -> "ArgumentParser":
    parser = parser_of("guidance", _DESCRIPTION)
    add = parser.add_argument
    add("photo", type=str, metavar="PHOTO", help="of an object, as for `epimesh run`")
    add("--out", type=str, default="guidance", help="folder for pictures and numbers")
    add("--guide", type=str, default=GUIDES[0], help=", ".join(GUIDES))
    add("--weights", type=str | None, default=None, help="of the generator; null takes its usual ones")
    add("--autoencoder", type=str | None, default=None, help="of a small generator; null takes its usual one")
    add("--prior", type=str | None, default=None, help="of a small generator; null takes its usual one")
    add("--guidance", type=list[float], default=[3.0, 1.0, 7.5], help="strengths; the first is drawn over time")
    add("--steps", type=int, default=100, help="of the sampling runs")
    add("--seed", type=int, default=0, help="of the noise")
    add("--device", type=str, default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add("--json", action="store_true", help="print everything for machines")
    return parser
