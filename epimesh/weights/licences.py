"""Under which licences weights stand, as their publishers state it, and whether results made with them may be sold."""

from pathlib import Path

from epimesh.weights.published import PUBLISHED
from epimesh.weights.sources import resolve

NOT_STATED = "not stated"

# By the names of model cards. Those with rules of conduct (openrail) allow commerce under these rules.
_SHORT = ("apache-2.0", "mit", "mit-0", "bsd", "bsd-2-clause", "bsd-3-clause", "isc", "zlib", "unlicense", "0bsd")
_CREATIVE = ("cc0-1.0", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0")
_RULES = ("openrail", "openrail++", "creativeml-openrail-m", "bigscience-openrail-m")
COMMERCIAL = frozenset((*_SHORT, *_CREATIVE, *_RULES))


def licence_of(source: str) -> str:
    """The licence that the publisher of a weights source states, or "not stated". No weights are downloaded.

    Args:
        source: as in the setting `weights`; or the path of one file, which states nothing.

    Raises:
        WeightsNotFound: nothing is there, or the hub cannot be asked.
    """
    kind, _, name = source.partition(":")
    if kind == "published":
        model = name.partition("/")[0]
        return PUBLISHED[model].licence if model in PUBLISHED else NOT_STATED
    if kind == "hub" and name:
        return _on_the_hub(name)
    return NOT_STATED if Path(source).is_file() else _of_card(resolve(source) / "README.md")


def allows_commerce(source: str) -> bool:
    """Whether what is made with these weights may be sold. False also where nobody said so.

    Raises:
        WeightsNotFound: nothing is there, or the hub cannot be asked.
    """
    kind, _, name = source.partition(":")
    if kind == "published":
        model = name.partition("/")[0]
        return model in PUBLISHED and PUBLISHED[model].commercial
    return licence_of(source).lower() in COMMERCIAL


def _on_the_hub(name: str) -> str:
    from epimesh.downloads import hub

    source = hub.HubSource.parsed(name)
    if hub.offline() and (here := hub.cached(source)):
        card = next(
            (folder / "README.md" for folder in (here, *here.parents) if (folder / "README.md").is_file()), None
        )
        return _of_card(card) if card else NOT_STATED
    return hub.licence(source) or NOT_STATED


def _of_card(card: Path) -> str:
    lines = card.read_text(encoding="utf-8").splitlines() if card.is_file() else []
    stated = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("license:")]
    return stated[0] if stated and stated[0] else NOT_STATED
