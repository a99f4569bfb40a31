"""The table of a generator test: right means, honest intervals, every failure named, enough to repeat it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from tiny_test import generator_test

from epimesh.evaluation.metrics.scores import Scores
from epimesh.evaluation.report.generator_report import facts, markdown, write_report
from epimesh.evaluation.report.summary import bootstrap_interval, summarise

ROWS = [
    Scores("cup", "generator", 0, values={"psnr": 10.0, "seconds": 1.0}),
    Scores("cup", "generator", 1, values={"psnr": 14.0, "seconds": 1.0}),
    Scores("hat", "generator", 0, values={"psnr": 20.0, "seconds": 1.0}),
    Scores("hat", "generator", 1, values={"psnr": 20.0, "seconds": 3.0}),
    Scores("jar", "generator", 0, failure="StageFailed: nothing there"),
    Scores("jar", "generator", 1, values={"psnr": 31.0, "seconds": 1.0}),
    Scores("cup", "copy the photo", values={"psnr": 9.0}),
    Scores("hat", "copy the photo", values={"psnr": 8.0}),
    Scores("jar", "copy the photo", values={"psnr": 7.0}),
]


def test_the_mean_is_over_objects_of_the_mean_over_seeds() -> None:
    found = {(one.method, one.measure): one for one in summarise(ROWS)}
    generator = found["generator", "psnr"]
    assert generator.mean == pytest.approx((12 + 20 + 31) / 3)
    assert generator.spread == pytest.approx(np.std([12, 20, 31], ddof=1))
    assert generator.objects == 3
    # Over seeds: seed 0 has the mean 15 of two objects, seed 1 the mean 65 / 3 of three.
    assert generator.seed_spread == pytest.approx(np.std([15, 65 / 3], ddof=1))
    copied = found["copy the photo", "psnr"]
    assert (copied.mean, copied.seed_spread) == (8, None)
    assert ("generator", "ssim") not in found
    assert list(dict.fromkeys(method for method, _ in found)) == ["generator", "copy the photo"]


def test_the_interval_is_that_of_resampling_objects_and_narrows_with_their_number() -> None:
    values = np.random.default_rng(1).normal(5, 2, 100)
    low, high = bootstrap_interval(values)
    error = values.std(ddof=1) / 10
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.1)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.1)
    few_low, few_high = bootstrap_interval(values[:10])
    assert few_high - few_low > 1.5 * (high - low)
    assert bootstrap_interval(values) == (low, high)
    assert bootstrap_interval(np.array([3.0])) == (3, 3)


def test_the_table_counts_and_names_failures_and_states_the_protocol() -> None:
    table = markdown(ROWS, facts(generator_test(seeds=(0, 1)), "three objects"))
    generator, copied = table.splitlines()[2:4]
    assert generator.startswith("| generator | 21.00 [")
    assert "(n=3)" in generator
    assert generator.endswith("| 1 |")
    assert copied.endswith("| 0 |")
    assert "FAILED jar, generator, seed 0: StageFailed: nothing there" in table
    assert "three objects" in table
    assert "seeds [0, 1]; alignment none" in table
    assert "SameFromEverywhere: {'noise': '0.01'}" in table
    assert "SSIM" not in table.splitlines()[0]  # not measured, so not shown


def test_the_files_hold_every_row_and_what_is_needed_to_repeat_them(tmp_path: Path) -> None:
    given = facts(generator_test(seeds=(0, 1)), "three objects")
    assert write_report(ROWS, given, tmp_path) == (tmp_path / "table.md").read_text()
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["object"], row["psnr"]) for row in rows[:2]] == [("cup", "10.0"), ("cup", "14.0")]
    assert rows[4]["failure"] == "StageFailed: nothing there"
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["protocol"]["seeds"] == [0, 1]
    assert [stage["class"] for stage in summary["stages"]] == ["SameFromEverywhere", "PixelDecoder"]
    assert {"epimesh", "python", "torch"} <= set(summary["versions"])
    assert [failure["object"] for failure in summary["failures"]] == ["jar"]


def test_with_shapes_all_stages_that_take_part_are_listed() -> None:
    stages = facts(generator_test(mesh=True), "x")["stages"]
    assert [stage["class"] for stage in stages] == ["SameFromEverywhere", "PixelDecoder", "Ball", "Tetrahedron"]
    assert facts(generator_test(None), "x")["stages"] == []
