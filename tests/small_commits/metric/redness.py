"""A metric: how much redder than the true views the imagined ones are."""

from epimesh.evaluation.metrics.comparison import ViewComparison
from epimesh.evaluation.metrics.metric import METRICS, Metric


def redness(views: ViewComparison) -> float:
    """Difference of the means of red, 0 where the views are as red as they should be."""
    return float(views.predicted.rgb[:, 0].mean() - views.truth.rgb[:, 0].mean())


METRICS["redness"] = Metric("redness", "redness", "views", "", None, of_views=redness)
