"""`epimesh batch`: many photos, in many processes or on a Ray cluster."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from epimesh.cli.lists import with_formats
from epimesh.cli.paths import typed_path
from epimesh.errors import BadInput

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from epimesh.apps.batch.engine import Summary, Workers
    from epimesh.apps.batch.manifest import Outcome

_DESCRIPTION = """Turns many photos into textured meshes.

PHOTOS are files, folders, CSV or Parquet lists with a column `photo`, or addresses (s3://, gs://). Every result is a
folder in --out, there whole or not at all. manifest.jsonl says what has become of each; the same command again skips
what is done and tries what failed. A worker that dies is replaced, and its photo tried again.

examples:
  epimesh batch photos/ --out meshes --workers 4
  epimesh batch list.csv --out meshes --preset small --faces 5000 --timeout 600
  epimesh batch s3://bucket/photos --out s3://bucket/meshes --address auto --workers 64 --gpus-per-worker 0.5
"""


def main(arguments: list[str]) -> int:
    """Makes all photos. Returns 0 if all of them are done, 1 if some failed."""
    from epimesh.apps.batch.engine import run_batch
    from epimesh.apps.batch.manifest import Manifest, key_of
    from epimesh.apps.batch.photos import Item, is_address, items_of
    from epimesh.apps.batch.task import Task
    from epimesh.pipeline.image_to_3d import ImageTo3D
    from epimesh.pipeline.licences import check_policy, weights_and_licences
    from epimesh.pipeline.parser import parse, pipeline_of

    parser, arguments = _parser(), with_formats(arguments)
    config = parse(parser, arguments)
    _check(config)
    pipeline = pipeline_of(parser, config, ImageTo3D)
    check_policy(pipeline, config.license_policy)
    weights_and_licences(pipeline)
    items = items_of(config.photos)
    out = config.out if is_address(config.out) else str(typed_path(config.out).resolve())
    manifest = Manifest(Path(config.manifest or "batch") if is_address(out) else Path(out))
    settings = tuple(_of_pipeline(arguments))

    def task(item: Item) -> Task:
        return Task(
            item=item,
            out=out,
            settings=settings,
            seed=config.seed,
            device=config.device,
            formats=tuple(config.formats),
            policy=config.license_policy,
            keep_stages=config.keep_stages,
        )

    key = key_of(_resolved(parser, config), config.seed, config.formats)
    told = _Told(len(items))
    summary = run_batch(items, task, lambda: _workers(config), manifest, key, told)
    _say_summary(summary, out)
    return 1 if summary.failed else 0


class _Told:
    """A line per photo on stderr, with how far the batch is."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0

    def __call__(self, outcome: "Outcome") -> None:
        self._done += 1
        what = f"{outcome.seconds:.1f} s" if outcome.state == "done" else f"FAILED: {outcome.message[:200]}"
        again = f" (try {outcome.tries})" if outcome.tries > 1 else ""
        print(f"[{self._done}/{self._total}] {outcome.name}  {what}{again}", file=sys.stderr, flush=True)


def _say_summary(summary: "Summary", out: str) -> None:
    for outcome in summary.failed:
        print(f"failed: {outcome.source}: {outcome.message}", file=sys.stderr)
    print(f"{summary.made} made, {summary.kept} were there, {len(summary.failed)} failed: {out}")


def _workers(config: "Namespace") -> "Workers":
    from epimesh.apps.batch.local_workers import LocalWorkers
    from epimesh.apps.batch.ray_workers import RayWorkers

    threads = config.threads_per_worker
    if config.address is None:
        threads = threads or max(1, (os.cpu_count() or 1) // config.workers)
        return LocalWorkers(config.workers, threads=threads, seconds=config.timeout, tries=config.tries)
    return RayWorkers(
        config.workers,
        config.address,
        gpus=config.gpus_per_worker,
        threads=threads,
        seconds=config.timeout,
        tries=config.tries,
    )


def _of_pipeline(arguments: Sequence[str]) -> list[str]:
    """The arguments that say what the pipeline is: presets and settings of slots. Each has one value."""
    from epimesh.pipeline.image_to_3d import SLOTS
    from epimesh.pipeline.parser import SHORTCUTS

    found, rest = [], iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        ours = name in SHORTCUTS or name == "--preset" or name[2:].partition(".")[0] in SLOTS
        if argument.startswith("--") and ours:
            value = value if equals else next(rest, "")
            path = typed_path(value)
            value = str(path.resolve()) if value.lower().endswith((".yaml", ".yml")) and path.is_file() else value
            found.append(f"{name}={value}")
    return found


def _resolved(parser: "ArgumentParser", config: "Namespace") -> str:
    """All settings of the pipeline, whichever presets they came from."""
    from jsonargparse import Namespace

    from epimesh.pipeline.image_to_3d import SLOTS

    kept = Namespace(**{slot: config[slot] for slot in SLOTS})
    return str(parser.dump(kept, skip_none=False, skip_validation=True))


def _parser() -> "ArgumentParser":
    from argparse import RawDescriptionHelpFormatter
    from typing import Literal

    from jsonargparse import ArgumentParser, DefaultHelpFormatter
    from jsonargparse.typing import NonNegativeFloat, PositiveFloat, PositiveInt

    from epimesh.pipeline.image_to_3d import ImageTo3D
    from epimesh.pipeline.parser import add_pipeline_arguments

    class Formatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
        """Keeps the line breaks of the description."""

    parser = ArgumentParser(
        prog="epimesh batch", description=_DESCRIPTION, exit_on_error=False, formatter_class=Formatter
    )
    add = parser.add_argument
    add("photos", nargs="+", type=str, help="files, folders, lists, addresses")
    add("--out", type=str, required=True, help="folder or address of all results")
    add("--workers", type=PositiveInt, default=1, help="photos at a time")
    add(
        "--address",
        type=str | None,
        default=None,
        help="of a Ray cluster: auto, host:port, local; without it this machine",
    )
    add(
        "--gpus-per-worker",
        dest="gpus_per_worker",
        type=NonNegativeFloat,
        default=0.0,
        help="with --address; .5 is half",
    )
    add("--threads-per-worker", dest="threads_per_worker", type=PositiveInt | None, default=None, help="of the CPU")
    add("--timeout", type=PositiveFloat | None, default=None, help="seconds for one photo")
    add("--tries", type=PositiveInt, default=3, help="for a photo whose worker is lost")
    add("--manifest", type=str | None, default=None, help="folder of manifest.jsonl where --out is an address")
    add("--keep-stages", dest="keep_stages", action="store_true", help="keep the outputs of all stages, too")
    add("--seed", type=int, default=0, help="same seed, same result")
    add("--device", type=str, default="auto", help="auto, cpu, cuda")
    add("--formats", "--format", type=list[str], default=["glb"], help="as of run")
    add("--license-policy", dest="license_policy", type=Literal["any", "commercial"], default="any", help="as of run")
    add_pipeline_arguments(parser, ImageTo3D)
    return parser


def _check(config: "Namespace") -> None:
    if config.gpus_per_worker and config.address is None:
        raise BadInput("--gpus-per-worker needs --address.\nOn one machine choose the device: --device cuda:0")
