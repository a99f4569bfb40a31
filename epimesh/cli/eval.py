"""`epimesh eval`: shapes, views and generators against the truth, beside trivial baselines and published numbers."""

from importlib import import_module

from epimesh.cli.lists import with_lists
from epimesh.errors import BadInput

_USAGE = """usage: epimesh eval shape|generator|gso|nvs|consistency|latents|guidance|budget|mean-object [arguments]

  epimesh eval shape PRED --truth MESH    how alike two meshes are
  epimesh eval generator OBJECTS OUT      how good imagined views (and shapes) are, beside trivial baselines
  epimesh eval gso FOLDER OUT             the same on Google Scanned Objects, beside published numbers
  epimesh eval nvs FOLDER OUT             views alone, from several photos of each of them
  epimesh eval consistency VIEWS          how well neighbouring views agree with each other
  epimesh eval latents VAE VIEWS          whether latents can be moved and matched like pictures
  epimesh eval guidance PHOTO             how steadily guidance pulls along a sampling run
  epimesh eval budget OBJECTS OUT         what every stage costs, by putting the truth in its place
  epimesh eval mean-object OBJECTS OUT    makes one of those baselines: the mean of the training objects

epimesh eval shape --help and so on show the settings.
"""
KINDS = ("shape", "generator", "gso", "nvs", "consistency", "latents", "guidance", "budget", "mean-object")


def main(arguments: list[str]) -> int:
    """Runs one of the evaluations. Returns 0 if it could be measured, 2 if not."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE)
        return 0
    kind, *own = arguments
    if kind not in KINDS:
        raise BadInput(
            f"There is no evaluation '{kind}'.\nExpected one of: {', '.join(KINDS)}. See: epimesh eval --help"
        )
    own = with_lists(with_lists(own, ("--seeds",), str.isdecimal), ("--objects",))
    status: int = import_module(f"epimesh.cli.eval_{kind.replace('-', '_')}").main(own)
    return status
