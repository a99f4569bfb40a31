"""What others published on SyncDreamer's Google Scanned Objects, to stand beside our numbers, with what differs.

Distances in units of the object's longest side. PSNR, SSIM and LPIPS are means over the 16 views at elevation 30.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from epimesh.evaluation.ground_truth.gso import PUBLISHED_OBJECTS
from epimesh.evaluation.metrics.scores import Scores
from epimesh.evaluation.protocols.generator import GENERATOR, TRUE_VIEWS
from epimesh.evaluation.report.summary import summarise

_OWN_VIEWS = "its own 6 orthographic views: PSNR, SSIM and LPIPS do not compare"
_COLUMNS = ("chamfer", "volume_iou", "psnr", "ssim", "lpips")
_NO_ANSWERS = ("truth", TRUE_VIEWS)
_OURS = {"chamfer": "chamfer_visible", "volume_iou": "volume_iou", "psnr": "psnr", "ssim": "ssim"}


@dataclass(frozen=True)
class Peer:
    """One published line. None: not published.

    Args:
        method: its name.
        source: where the numbers stand.
        chamfer: mean of both mean distances, not squared, of what the 16 cameras see.
        volume_iou: at 64 cells per axis over [-1, 1]^3.
        psnr: in dB.
        ssim: structural similarity.
        lpips: by VGG; smaller is better.
        note: what is special about it.
    """

    method: str
    source: str
    chamfer: float | None = None
    volume_iou: float | None = None
    psnr: float | None = None
    ssim: float | None = None
    lpips: float | None = None
    note: str = ""


_TABLES = "HarmonyView, tables 2 and 4"
PEERS = (
    Peer("RealFusion", _TABLES, 0.0819, 0.2741, 15.26, 0.722, 0.283),
    Peer("Magic123", _TABLES, 0.0516, 0.4528),
    Peer("One-2-3-45", _TABLES, 0.0629, 0.4086),
    Peer("Point-E", _TABLES, 0.0426, 0.2875),
    Peer("Shap-E", _TABLES, 0.0436, 0.3584),
    Peer("Zero-1-to-3", _TABLES, 0.0339, 0.5035, 18.93, 0.779, 0.166),
    Peer("SyncDreamer", _TABLES, 0.0261, 0.5421, 20.05, 0.798, 0.146, "over seeds Chamfer ± .0062, IoU ± .0079"),
    Peer("SyncDreamer, run again", "HarmonyView", None, None, 20.19, 0.819, 0.140, "at its guidance s = 1"),
    Peer("HarmonyView", _TABLES, 0.0187, 0.6401, 20.69, 0.825, 0.133, "the best of 4 samples per object"),
    Peer("Wonder3D", "Wonder3D*", 0.0199, 0.6244, 26.07, 0.924, 0.065, _OWN_VIEWS),
    Peer("Wonder3D, run again", "Wonder3D++*", 0.0222, 0.5521, 22.92, 0.919, 0.063, _OWN_VIEWS),
    Peer("Wonder3D, run again", "MVDiffusion++*", 0.0329, 0.5768),
    Peer("MVDiffusion++", "MVDiffusion++*", 0.0165, 0.6973, 21.45, 0.844, 0.129),
)


def peers_table(rows: Sequence[Scores], size: int) -> str:
    """Our means in the form of the published ones, then those, then what differs.

    Args:
        rows: of one test.
        size: of the true pictures, in pixels.
    """
    lines = [
        "| method | Chamfer | volume IoU | PSNR | SSIM | LPIPS | numbers from | |",
        "|---|---|---|---|---|---|---|---|",
        *(_ours(method, rows) for method in dict.fromkeys(row.method for row in rows) if method not in _NO_ANSWERS),
        *(_line(peer.method, [getattr(peer, column) for column in _COLUMNS], peer.source, peer.note) for peer in PEERS),
    ]
    return "\n".join(["", "## Beside published numbers", "", *lines, "", *_differences(rows, size), ""])


def _ours(method: str, rows: Sequence[Scores]) -> str:
    found = {one.measure: one for one in summarise(rows) if one.method == method}
    known = [found.get(_OURS.get(column, "")) for column in _COLUMNS]
    counts = sorted({one.objects for one in known if one is not None})
    counted = " to ".join(map(str, dict.fromkeys([counts[0], counts[-1]]))) if counts else "no"
    name = "**this pipeline**" if method == GENERATOR else method
    return _line(name, [None if one is None else one.mean for one in known], "here", f"{counted} objects")


def _line(name: str, values: Sequence[float | None], source: str, note: str) -> str:
    digits = dict(zip(_COLUMNS, (4, 4, 2, 3, 3), strict=True))
    cells = [
        "" if value is None else f"{value:.{digits[column]}f}" for column, value in zip(_COLUMNS, values, strict=True)
    ]
    return f"| {name} | " + " | ".join(cells) + f" | {source} | {note} |"


def _differences(rows: Sequence[Scores], size: int) -> list[str]:
    measured = dict.fromkeys(row.object for row in rows)
    absent = sorted(PUBLISHED_OBJECTS - set(measured))
    shared = len(PUBLISHED_OBJECTS) - len(absent)
    missing = f"; absent here: {', '.join(absent)}" if absent else ""
    return [
        "\\* quoted by others, not read in the paper itself.",
        "",
        "Where the protocols differ:",
        "",
        f"- Objects: {len(measured)} here, {shared} of them among the published {len(PUBLISHED_OBJECTS)}{missing}.",
        "- Published numbers are of one run unless noted, or of the best of several; ours are means over seeds.",
        f"- Smaller answers are enlarged to {size} pixels before they are compared.",
        "- The mean over views holds the photo's own view, as in the published code; 'novel views' above does not. It "
        "flatters the copied photo: one view is perfect, which counts as 100 dB.",
        "- Chamfer: the points of the truth are what the 16 cameras see of its mesh (as HarmonyView does; SyncDreamer "
        "reads rendered depth). No alignment, none of the underside.",
        "- Volume IoU: inside is where rays along six directions agree, and where they do not there is no number; the "
        "published code asks mesh2sdf, which answers for open meshes, too. Failures have no number in any mean.",
        "- LPIPS is not measured: its network does not ship.",
        "- The small weights that ship were trained on objects among which are other Google scans (none of these). "
        "Published models of this field saw none.",
    ]
