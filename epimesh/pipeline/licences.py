"""What licences a pipeline's weights have, which policy it has to obey, and what a finished asset says of itself."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from epimesh import __version__, weights
from epimesh.errors import EpimeshError, LicenceRefused
from epimesh.pipeline import presets
from epimesh.pipeline.contracts import Stage
from epimesh.pipeline.fingerprint import weights_of
from epimesh.pipeline.image_to_3d import SLOTS, ImageTo3D
from epimesh.weights.licences import NOT_STATED, allows_commerce, licence_of

_GENERATIVE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"

Policy = Literal["any", "commercial"]
FROM_VIEWS = tuple(slot for slot in SLOTS if slot not in ("read", "views", "decode"))
"""The slots in use where views are given."""


def weights_and_licences(pipeline: ImageTo3D, slots: Sequence[str] = SLOTS) -> dict[str, str]:
    """Every weights source that these slots of a pipeline use, with the licence that its publisher states.

    Raises:
        WeightsNotFound: weights are not there.
    """
    sources = _sources(pipeline, slots)
    for source in sources:
        if not Path(source).is_file():
            weights.resolve(source)
    return {source: licence_of(source) for source in sources}


def check_policy(pipeline: ImageTo3D, policy: Policy, slots: Sequence[str] = SLOTS) -> None:
    """Refuses weights that the policy forbids. Nothing is downloaded before.

    Args:
        pipeline: whose weights are looked at.
        policy: "commercial" demands that results may be sold; "any" demands nothing.
        slots: those in use.

    Raises:
        LicenceRefused: a licence forbids it or none is stated; the message names it and presets that are allowed.
        WeightsNotFound: nothing is there, or the hub cannot be asked.
    """
    if policy == "any":
        return
    refused = [source for source in _sources(pipeline, slots) if not allows_commerce(source)]
    if not refused:
        return
    named = "; ".join(f"{source} ({licence_of(source)})" for source in refused)
    unstated = any(licence_of(source) == NOT_STATED for source in refused)
    own = "\nOf weights of your own, a README.md beside them with a line 'license: NAME' states it." if unstated else ""
    raise LicenceRefused(
        f"--license-policy commercial was asked for, but these weights are not known to allow it: {named}.\n"
        f"Use a preset that does: {', '.join(_allowed_presets())}.{own}"
    )


def _sources(pipeline: ImageTo3D, slots: Sequence[str]) -> list[str]:
    stages = [getattr(pipeline, slot) for slot in slots]
    return list(dict.fromkeys(source for one in stages if isinstance(one, Stage) for source in weights_of(one)))


@cache
def _allowed_presets() -> list[str]:
    """Those that ship, the default first."""
    names = sorted(presets.names(), key=lambda name: name != presets.DEFAULT)
    return [name for name in names if _allowed(ImageTo3D.from_preset(name))]


def _allowed(pipeline: ImageTo3D) -> bool:
    try:
        return all(allows_commerce(source) for source in _sources(pipeline, SLOTS))
    except EpimeshError:
        return False


def provenance(licences: dict[str, str], generated: bool) -> dict[str, Any]:
    """What an asset says of itself, for people and programs that find it without its folder. Holds no paths.

    Args:
        licences: by weights source.
        generated: whether networks imagined what no picture shows.

    Source: IPTC, "Digital Source Type" NewsCodes, for `digitalSourceType`.
    """
    named = {source if ":" in source else Path(source).name: licence for source, licence in licences.items()}
    kind = {"digitalSourceType": _GENERATIVE} if generated else {}
    return {"generated": generated, **kind, "madeWith": f"epimesh {__version__}", "weights": named}
