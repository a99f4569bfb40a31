"""The metrics: what each is called, in which unit, which way is better, and how it is computed.

A new metric is one more entry here. Tables, summaries, plots and files find it there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from epimesh.evaluation.metrics.comparison import ShapeComparison, ViewComparison
from epimesh.evaluation.metrics.consistency import rerender_psnr, warp_psnr

Kind = Literal["views", "agreement", "shape", "run"]


@dataclass(frozen=True)
class Metric:
    """One way to measure.

    Args:
        name: key of `Scores.values`, and column of scores.csv.
        label: for people.
        kind: what it looks at: views beside the true ones, how views agree with each other, a shape, or a run.
        unit: of the values; empty where there is none.
        higher_is_better: False where less is better, None where neither is.
        of_views: computes it; None where there was nothing to measure it on.
        of_shape: the same for shapes.
    """

    name: str
    label: str
    kind: Kind
    unit: str = ""
    higher_is_better: bool | None = True
    of_views: Callable[[ViewComparison], float | None] | None = None
    of_shape: Callable[[ShapeComparison], float | None] | None = None

    @property
    def title(self) -> str:
        """Label and unit, for the head of a column."""
        return f"{self.label} {self.unit}".strip()


def _novel_psnr(views: ViewComparison) -> float | None:
    """Without the view that repeats the photo's own camera."""
    novel = [one.psnr for one, seen in zip(views.per_view, views.photographed, strict=True) if not seen]
    return sum(novel) / len(novel) if novel else None


def _own_warp(views: ViewComparison) -> float | None:
    """As `warp_psnr`, by the depth of the surface that was reconstructed from the views."""
    if views.shown is None:
        return None
    assert views.shown.depth is not None
    return warp_psnr(views.predicted, views.shown.depth)


def _rerendered(views: ViewComparison) -> float | None:
    """Of the views against the reconstructed surface seen from their cameras."""
    return None if views.shown is None else rerender_psnr(views.predicted, views.shown)


def _volume_iou(shape: ShapeComparison) -> float | None:
    """None where the truth is no closed solid that fills at least half of its silhouettes' hull."""
    return shape.report.volume[0].iou if shape.is_full() else None


_KNOWN = (
    Metric("psnr", "PSNR", "views", "dB", of_views=lambda views: views.mean.psnr),
    Metric("novel_psnr", "novel views", "views", "dB", of_views=_novel_psnr),
    Metric("object_psnr", "object", "views", "dB", of_views=lambda views: views.mean.object_psnr),
    Metric("ssim", "SSIM", "views", of_views=lambda views: views.mean.ssim),
    Metric("silhouette_iou", "silhouette IoU", "views", of_views=lambda views: views.mean.silhouette_iou),
    Metric("sharpness", "sharpness", "views", "", None, of_views=lambda views: views.mean.sharpness),
    Metric("volume_iou", "volume IoU", "shape", of_shape=_volume_iou),
    Metric("chamfer_visible", "Chamfer seen", "shape", "", False, of_shape=lambda shape: shape.report.chamfer_visible),
    Metric("chamfer_surface", "Chamfer all", "shape", "", False, of_shape=lambda shape: shape.report.chamfer_surface),
    Metric("f_score", "F-score", "shape", of_shape=lambda shape: shape.report.agreement[0].f_score),
    Metric("warp_psnr", "warp", "agreement", "dB", of_views=lambda views: views.agreement.warp_psnr),
    Metric("own_warp_psnr", "own warp", "agreement", "dB", of_views=_own_warp),
    Metric("matches", "matches", "agreement", of_views=lambda views: views.agreement.matches),
    Metric("reprojection_px", "reprojection", "agreement", "px", False, lambda views: views.agreement.reprojection_px),
    Metric("rerender_psnr", "re-rendered", "agreement", "dB", of_views=_rerendered),
    Metric("textured_psnr", "textured", "run", "dB"),  # of the textured mesh against the true views; error budgets only
    Metric("mask_iou", "mask IoU", "run"),  # of the photo's mask where it is not given; error budgets only
    Metric("seconds", "", "run", "s", False),  # from photo to decoded views, and to the mesh where one is made
)
METRICS = {metric.name: metric for metric in _KNOWN}
"""By name, in the order of tables."""


def of_views(views: ViewComparison, *, agreement: bool) -> dict[str, float | None]:
    """All that views are measured by; how well they agree with each other only if asked for."""
    kinds = ("views", "agreement") if agreement else ("views",)
    return {
        metric.name: metric.of_views(views) for metric in METRICS.values() if metric.of_views and metric.kind in kinds
    }


def of_shape(shape: ShapeComparison) -> dict[str, float | None]:
    """All that shapes are measured by."""
    return {metric.name: metric.of_shape(shape) for metric in METRICS.values() if metric.of_shape}
