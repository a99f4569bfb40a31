"""`epimesh eval mean-object`: makes a baseline, the mean of the training objects."""

import json
from pathlib import Path

from epimesh.cli.eval_parser import parsed, parser_of
from epimesh.errors import BadInput

_DESCRIPTION = """Makes the mean of the training objects: 16 mean views, and the share of objects that fill each place.

It ships with the package as bundled:mean-object; make it again when the training objects change. Takes seconds per
object. `epimesh eval generator --mean OUT` uses yours.

example: epimesh eval mean-object objects/ runs/mean-object --every 4
"""


def main(arguments: list[str]) -> int:
    """Makes the mean object. Returns 0."""
    from epimesh.cli.progress import Terminal
    from epimesh.data.objects import read_manifest
    from epimesh.evaluation.baselines.mean_object import mean_object

    parser = parser_of("mean-object", _DESCRIPTION)
    add = parser.add_argument
    add("objects", type=str, help="a folder of objects with a manifest.csv")
    add("out", type=str, help="the folder for mean.safetensors")
    add("--split", type=str, default="train", help="which objects of the manifest; test objects would be cheating")
    add("--every", type=int, default=1, help="every how-manieth object takes part")
    add("--seed", type=int, default=0, help="of the random turns")
    add("--json", action="store_true", help="print the numbers for machines, no progress")
    config = parsed(parser, arguments)
    if config.every < 1:
        raise BadInput(f"Found --every {config.every}.\nExpected 1 (all objects) or more.")
    records = read_manifest(Path(config.objects).expanduser(), config.split)[:: config.every]
    tracked = Terminal(quiet=config.json).track(records, "objects", len(records))
    mean = mean_object(tracked, config.seed)
    out = Path(config.out).expanduser()
    mean.save(out)
    made = {"objects": mean.objects, "skipped": len(records) - mean.objects, "solids": mean.solids, "level": mean.level}
    print(json.dumps({"out": str(out), **made}) if config.json else f"{out}: {made}")
    return 0
