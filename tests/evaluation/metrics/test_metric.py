"""A metric is one entry: what it says goes into files, tables and intervals by itself."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_test import PIPELINE, RingOfSixteen, generator_test

from epimesh.data.objects import read_manifest
from epimesh.evaluation.ground_truth.truth_object import RenderedObject
from epimesh.evaluation.metrics.metric import METRICS, Metric, ViewComparison
from epimesh.evaluation.metrics.scores import Scores
from epimesh.evaluation.report.generator_report import facts, write_report
from epimesh.evaluation.report.summary import summarise


def brightness(views: ViewComparison) -> float:
    return float(views.predicted.rgb.mean() / views.truth.rgb.mean())


def test_a_new_entry_is_measured_tabled_and_written(
    objects: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METRICS, "brightness", Metric("brightness", "brightness", "views", of_views=brightness))
    test = generator_test(replace(PIPELINE, views=RingOfSixteen()))
    rows = list(test.rows([RenderedObject(read_manifest(objects, "test")[0])], tmp_path))
    assert 0 < rows[0]["brightness"] < 1  # a disc, grey all over, beside an object on white
    assert "brightness" in write_report(rows, facts(test, "one object"), tmp_path).splitlines()[0]
    with (tmp_path / "scores.csv").open() as file:
        assert float(next(csv.DictReader(file))["brightness"]) == rows[0]["brightness"]


@pytest.mark.parametrize("metric", METRICS.values(), ids=list(METRICS))
def test_every_metric_has_a_title_and_looks_at_what_its_kind_says(metric: Metric) -> None:
    assert metric.title
    assert (metric.of_views is not None) == (metric.kind in ("views", "agreement"))
    assert (metric.of_shape is not None) == (metric.kind == "shape")


def test_what_was_not_measured_is_none_and_counts_in_no_mean() -> None:
    rows = [Scores("cup", "generator", 0).added({"psnr": 20.0, "ssim": None}), Scores("hat", "generator", 0)]
    assert rows[0]["psnr"] == 20
    assert rows[0]["ssim"] is rows[1]["psnr"] is None
    assert [(one.measure, one.mean, one.objects) for one in summarise(rows)] == [("psnr", 20.0, 1)]
