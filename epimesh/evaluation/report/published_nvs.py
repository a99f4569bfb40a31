"""What Zero-to-Hero published on novel views of scanned objects, to stand beside our numbers, with what differs."""

from collections.abc import Sequence
from dataclasses import dataclass

from epimesh.evaluation.metrics.scores import Scores
from epimesh.evaluation.report.summary import summarise

_COLUMNS = {"psnr": 2, "ssim": 3, "silhouette_iou": 3}


@dataclass(frozen=True)
class NvsPeer:
    """One line of the published table.

    Args:
        method: its name.
        evaluations: of the network per view.
        psnr: in dB.
        ssim: structural similarity.
        lpips: smaller is better.
        silhouette_iou: of thresholded pictures.
    """

    method: str
    evaluations: int
    psnr: float
    ssim: float
    lpips: float
    silhouette_iou: float


NVS_PEERS = (
    NvsPeer("Zero-1-to-3", 25, 17.27, 0.851, 0.173, 0.735),
    NvsPeer("Zero-1-to-3", 50, 17.24, 0.850, 0.173, 0.735),
    NvsPeer("Zero-1-to-3 with Zero-to-Hero", 66, 17.67, 0.859, 0.163, 0.753),
    NvsPeer("Zero123-XL", 25, 17.72, 0.854, 0.163, 0.764),
    NvsPeer("Zero123-XL with Zero-to-Hero", 66, 18.35, 0.864, 0.153, 0.783),
    NvsPeer("Zero123-XL with the attention of the true views", 50, 21.79, 0.890, 0.117, 0.886),
)


def nvs_peers_table(rows: Sequence[Scores], views: int, size: int) -> str:
    """Our means in the form of the published ones, then those, then what differs.

    Args:
        rows: of one test.
        views: of each object that took part.
        size: of the true pictures, in pixels.
    """
    lines = ["| method | evaluations | PSNR | SSIM | LPIPS | IoU |", "|---|---|---|---|---|---|"]
    for method in dict.fromkeys(row.method for row in rows if row.method != "truth"):
        found = {one.measure: one.mean for one in summarise(rows) if one.method == method}
        psnr, ssim, iou = (f"{found[name]:.{digits}f}" if name in found else "" for name, digits in _COLUMNS.items())
        lines.append(f"| {method}, here |  | {psnr} | {ssim} |  | {iou} |")
    lines += [
        f"| {peer.method} | {peer.evaluations} | {peer.psnr:.2f} | {peer.ssim:.3f} | {peer.lpips:.3f} | "
        f"{peer.silhouette_iou:.3f} |"
        for peer in NVS_PEERS
    ]
    differences = _differences(rows, views, size)
    return "\n".join(["", "## Beside Zero-to-Hero's table 1", "", *lines, "", *differences, ""])


def _differences(rows: Sequence[Scores], views: int, size: int) -> list[str]:
    objects = len({row.object for row in rows})
    return [
        "Where the protocols differ, so that numbers are alike in kind only:",
        "",
        f"- Objects: {objects} of the given folder; there, 50 scanned objects chosen for being hard and not symmetric.",
        f"- Views: {views} drawn at random from the given circle (one elevation and distance, even steps of azimuth); "
        "there, 8 per object chosen by hand from random ones of the upper half sphere, distances 1.5 to 2.2.",
        "- Pose: the generator is told the photo's elevation and answers for its whole ring, of which the views asked "
        "for are compared; there, it is told every relative pose and makes that view alone.",
        "- Silhouettes are where coverage exceeds one half; there, thresholded pictures.",
        f"- Smaller answers are enlarged to {size} pixels before they are compared.",
        "- Each view drawn is the photo for all others, as there. The means are over objects, of means over photos and "
        "seeds.",
        "- LPIPS is not measured: its network does not ship.",
    ]
