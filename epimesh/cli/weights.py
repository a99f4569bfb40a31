"""`epimesh weights`: which weights there are, where they lie, and published ones with one command."""

import shutil
import sys
from argparse import RawDescriptionHelpFormatter

from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

from epimesh.errors import BadInput, WeightsNotFound, did_you_mean
from epimesh.weights import BUNDLED, published
from epimesh.weights.published import PUBLISHED, Published

_DESCRIPTION = """Lists, fetches and removes the weights of published models.

`get` says size, licence and disk first, and asks. It goes on where a download was stopped, compares every file with the
size and checksum that the hub lists, and leaves a whole folder or none. Checkpoints are converted on the way, and
nothing in them is ever run. HF_ENDPOINT names a mirror, HF_HUB_OFFLINE forbids downloads, HF_TOKEN opens gated
repositories.

examples: epimesh weights list
          epimesh weights get wonder3d
          epimesh weights get stable-zero123 --accept-licence stabilityai-nc --yes
          epimesh weights where syncdreamer
          epimesh weights remove syncdreamer
"""


class _Formatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
    """Keeps the line breaks of the description."""


def main(arguments: list[str]) -> int:
    """Lists, fetches, finds or removes weights."""
    parser = ArgumentParser(
        prog="epimesh weights", exit_on_error=False, description=_DESCRIPTION, formatter_class=_Formatter
    )
    parser.add_argument("action", choices=["list", "get", "where", "remove"])
    parser.add_argument("name", type=str | None, nargs="?", default=None, help="of a published model")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--half", action="store_true", help="16-bit numbers: half the size, slightly less exact")
    parser.add_argument(
        "--accept-licence", dest="accepted", type=str | None, default=None, help="the word that `get` asks for"
    )
    config = parser.parse_args(arguments)
    actions = {"list": _list, "get": _get, "where": _where, "remove": _remove}
    return actions[config.action](config)


def get(name: str, *, accepted: str | None, yes: bool, half: bool = False) -> None:
    """Fetches a published model after saying what it is.

    Raises:
        BadInput: there is no such model, its licence was not accepted, it is here, or the disk is too small.
        WeightsNotFound: it cannot be had.
        BadWeights: what arrived is not what it should be.
    """
    known = _known(name)
    _check_consent(name, known, accepted)
    from epimesh.conversion.getting import check_disk, ordered
    from epimesh.conversion.getting import get as fetched

    order = ordered(name, known, half=half)
    check_disk(order)
    _say(
        f"{name}: {order.download_bytes / 1e9:.2f} GB from {known.page}\n"
        f"licence: {known.licence}\n"
        f"disk: {order.disk_bytes / 1e9:.2f} GB while it is made, in {published.home()}"
    )
    if not yes and not _agreed():
        raise BadInput("Nothing was downloaded.\nAnswer y, or add --yes.")
    _say(f"ready: {fetched(order, half=half, say=_say)}")


def _get(config: Namespace) -> int:
    get(_named(config), accepted=config.accepted, yes=config.yes, half=config.half)
    if presets := _presets_with(config.name):
        print(f"Use it:  epimesh run photo.jpg --preset {presets[0]}")
    return 0


def _list(config: Namespace) -> int:
    print(
        "with the package:\n  " + "  ".join(sorted(f"bundled:{one.name}" for one in BUNDLED.iterdir() if one.is_dir()))
    )
    print("\npublished:")
    for name, known in PUBLISHED.items():
        state = "here" if published.folder_of(name).is_dir() else f"{known.gigabytes} GB to download"
        consent = f"  (needs --accept-licence {known.consent})" if known.consent else ""
        print(f"  {name:<18} {state}; {known.licence}{consent}")
    print("\nGet one:  epimesh weights get NAME")
    return 0


def _where(config: Namespace) -> int:
    if config.name is None:
        print(published.home())
        return 0
    _known(config.name)
    folder = published.folder_of(config.name)
    if not folder.is_dir():
        raise WeightsNotFound(f"{config.name} is not here.\n{published.how_to_get(config.name)}")
    print(folder)
    return 0


def _remove(config: Namespace) -> int:
    name = _named(config)
    _known(name)
    waiting = published.home() / f".{name}.download"
    folders = [folder for folder in (published.folder_of(name), waiting) if folder.is_dir()]
    if not folders:
        raise BadInput(f"{name} is not here (looked in {published.home()}).\nSee what is: epimesh weights list")
    size = sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())
    _say(f"{', '.join(map(str, folders))}: {size / 1e9:.2f} GB")
    if not config.yes and not _agreed():
        raise BadInput("Nothing was removed.\nAnswer y, or add --yes.")
    for folder in folders:
        shutil.rmtree(folder)
    print(f"removed {name}")
    return 0


def _named(config: Namespace) -> str:
    if config.name is None:
        raise BadInput(f"Which one?\nExpected one of: {', '.join(PUBLISHED)}. See: epimesh weights list")
    return str(config.name)


def _known(name: str) -> Published:
    if name not in PUBLISHED:
        raise BadInput(
            f"There are no published weights '{name}'.{did_you_mean(name, PUBLISHED)}\n"
            f"Expected one of: {', '.join(PUBLISHED)}."
        )
    return PUBLISHED[name]


def _check_consent(name: str, known: Published, accepted: str | None) -> None:
    if known.consent and accepted != known.consent:
        found = f"'{accepted}' was accepted" if accepted else "it was not accepted"
        raise BadInput(
            f"The licence of {name} does not allow commercial use ({known.licence}), and {found}.\n"
            f"Read it at {known.page}. If you agree, add: --accept-licence {known.consent}"
        )


def _presets_with(name: str | None) -> list[str]:
    from epimesh.pipeline import presets

    return [one for one in presets.names() if f"published:{name}\n" in presets.find(one).read_text()]


def _agreed() -> bool:
    if not sys.stdin.isatty():
        return False
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _say(text: str) -> None:
    print(text, file=sys.stderr)
