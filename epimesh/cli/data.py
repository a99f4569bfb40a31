"""`epimesh data`: gets objects to train with."""

from collections import Counter
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from epimesh.cli.lists import with_lists
from epimesh.cli.shard import Shard
from epimesh.errors import BadInput

if TYPE_CHECKING:
    from epimesh.data.objaverse.collect import CollectJob
    from epimesh.data.objaverse.listing import Listing

_DESCRIPTION = """Downloads objects of Objaverse 1.0 into a folder that `epimesh render` reads: GLBs of unit size, z
up, and a manifest.csv with split, licence and attribution of each. Stopped runs go on where they were; a file is whole
or not there. Objects that cannot be had or read are listed in skipped.txt; why others were left out is counted.

Licences are those that the data set states for every object. The split is by a hash of the uid: 96 % train, 2 % val,
2 % test, whatever else is chosen. A larger --limit adds to the objects of a smaller one.

examples: epimesh data objaverse objects/ --limit 100
          epimesh data objaverse objects/ --lvis --limit 23000 --processes 8
          epimesh data objaverse objects/ --uids my_list.txt --licences CC0-1.0 CC-BY-4.0 CC-BY-SA-4.0
          epimesh data objaverse objects/ --limit 23000 --shard 2/8      then once without --shard, for the manifest
"""


def main(arguments: list[str]) -> int:
    """Collects objects of one data set."""
    from epimesh.cli.progress import Terminal
    from epimesh.data.objaverse.annotation import LICENCES
    from epimesh.data.objaverse.collect import collect, write_manifest
    from epimesh.data.processes import each_in_processes

    config = _parser().parse_args(with_lists(arguments, ("--licences",), lambda word: word in LICENCES.values()))
    shard = Shard.parsed(config.shard)
    out, left_out = Path(config.out), Counter[str]()
    jobs = _jobs(config, out, left_out)
    missing = [job for job in shard.of(jobs) if not job.is_done]
    try:
        outcomes = Terminal().track(each_in_processes(collect, missing, config.processes), "collecting", len(missing))
        skipped = [f"{name}\t{reason}\n" for name, reason in outcomes if reason is not None]
    finally:
        count = write_manifest(jobs, out)  # of a stopped run too
    (out / shard.list_name).write_text("".join(skipped))
    print(f"left out: {_reasons(left_out)}")
    print(f"{count} objects in {out}, {len(skipped)} skipped")
    return 0


def _parser() -> ArgumentParser:
    from epimesh.data.objaverse.choice import Choice
    from epimesh.data.objaverse.listing import PUBLISHED

    parser = ArgumentParser(prog="epimesh data", exit_on_error=False, description=_DESCRIPTION)
    parser.add_argument("source", choices=["objaverse"], help="the data set")
    parser.add_argument("out", type=str, help="folder of the collection")
    parser.add_argument("--limit", type=int | None, default=None, help="at most so many objects")
    parser.add_argument("--uids", type=str | None, default=None, help="file with the uids to choose from, one a line")
    parser.add_argument("--lvis", action="store_true", help="only the 46,000 objects with a category of LVIS")
    parser.add_argument("--processes", type=int, default=4, help="how many to use")
    parser.add_argument("--shard", type=str | None, default=None, help="i/n: only the i-th of n shares of the objects")
    parser.add_argument("--keep-originals", action="store_true", help="keep the published files in originals/ too")
    parser.add_argument("--mirror", type=str, default=PUBLISHED, help="a copy of the data set, with the same folders")
    parser.add_class_arguments(Choice)
    return parser


def _jobs(config: Any, out: Path, left_out: "Counter[str]") -> "list[CollectJob]":
    from epimesh.data.objaverse.choice import Choice
    from epimesh.data.objaverse.collect import CollectJob
    from epimesh.data.objaverse.listing import Listing, chosen

    choice = Choice(**{field.name: config[field.name] for field in fields(Choice)})
    listing = Listing(config.mirror.rstrip("/"), out / "lists")
    wanted = chosen(listing, choice, _candidates(config, listing), left_out)
    jobs = [
        CollectJob(
            annotation=annotation,
            part=part,
            address=listing.address(part, annotation.uid),
            out=out,
            keep_originals=config.keep_originals,
        )
        for part, annotation in islice(wanted, config.limit)
    ]
    if not jobs:
        raise BadInput(f"No object is left: {_reasons(left_out)}.\nExpected at least one: ask for less of them.")
    return jobs


def _reasons(left_out: "Counter[str]") -> str:
    return ", ".join(f"{number} {reason}" for reason, number in left_out.most_common()) or "none"


def _candidates(config: Any, listing: "Listing") -> dict[str, str]:
    from epimesh.data.objaverse.listing import named, read_uids

    parts = listing.objects()
    if config.uids is not None:
        parts = named(parts, read_uids(Path(config.uids)))
    if config.lvis:
        labelled = listing.labelled()
        parts = {uid: part for uid, part in parts.items() if uid in labelled}
    return parts
