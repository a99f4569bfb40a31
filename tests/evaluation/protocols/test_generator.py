"""Testing a generator: every object, every seed, beside the baselines, going on where it stopped."""

from dataclasses import replace
from pathlib import Path

import pytest
import tiny_stages
from tiny_test import PIPELINE, RingOfSixteen, generator_test

from epimesh.data.objects import read_manifest
from epimesh.evaluation.ground_truth.truth_object import RenderedObject
from epimesh.evaluation.metrics.scores import Scores
from epimesh.evaluation.protocols.generator import GENERATOR


@pytest.fixture
def records(objects: Path) -> list[RenderedObject]:
    return [RenderedObject(record) for record in read_manifest(objects, "test")]


@pytest.fixture(autouse=True)
def calls() -> list[str]:
    tiny_stages.CALLS.clear()
    return tiny_stages.CALLS


def methods(rows: list[Scores], name: str) -> list[tuple[str, int | None]]:
    return [(row.method, row.seed) for row in rows if row.object == name]


def test_every_object_is_tried_with_every_seed_and_by_the_baselines(
    records: list[RenderedObject], tmp_path: Path
) -> None:
    # The mean object has answers for the ring of 16 only, and the tiny generator makes 4 views: told, not hidden.
    rows = list(generator_test(seeds=(0, 5)).rows(records, tmp_path))
    for name in ("chest", "marble"):
        assert methods(rows, name) == [
            (GENERATOR, 0),
            (GENERATOR, 5),
            ("copy the photo", None),
            ("mean object", None),
        ]
    generated = [row for row in rows if row.method == GENERATOR]
    assert all(row.failure is None and row["volume_iou"] is None for row in generated)
    assert generated[0]["psnr"] != generated[1]["psnr"]  # the seed reaches the stages
    assert all("16 views, not 4" in row.failure for row in rows if row.method == "mean object")


def test_with_shapes_the_mesh_is_made_and_the_shape_baselines_answer_too(
    records: list[RenderedObject], calls: list[str]
) -> None:
    rows = list(generator_test(mesh=True).answers(records[1]))
    assert calls == ["views", "decode", "reconstruct", "mesh"]
    found = {row.method: row for row in rows}
    assert set(found) == {
        GENERATOR,
        "copy the photo",
        "mean object",
        "mean shape",
        "mean shape in the silhouette",
        "inflated silhouette",
        "hull of the true views",
    }
    assert 0 < found[GENERATOR]["volume_iou"] < 0.5  # a tetrahedron for a ball
    assert found["hull of the true views"]["volume_iou"] > found["inflated silhouette"]["volume_iou"] > 0.2


def test_baselines_alone_need_no_pipeline(records: list[RenderedObject], calls: list[str]) -> None:
    rows = list(generator_test(None).answers(records[0]))
    assert [(row.method, row.failure) for row in rows] == [("copy the photo", None), ("mean object", None)]
    assert calls == []


def test_a_second_call_computes_nothing_and_a_changed_setting_everything(
    records: list[RenderedObject], tmp_path: Path, calls: list[str]
) -> None:
    only_chest = [record for record in records if record.id == "chest"]
    with_ring = replace(PIPELINE, views=RingOfSixteen())
    first = list(generator_test(with_ring).rows(only_chest, tmp_path / "out"))
    assert all(row.failure is None for row in first)
    computed = len(calls)
    assert list(generator_test(with_ring).rows(only_chest, tmp_path / "out")) == first
    assert len(calls) == computed
    louder = replace(PIPELINE, views=RingOfSixteen(noise=0.3))
    assert list(generator_test(louder).rows(only_chest, tmp_path / "out")) != first
    assert len(calls) > computed
    assert [path.name for path in (tmp_path / "out" / "objects").iterdir()] == ["chest.json"]


def test_what_failed_is_tried_again_and_what_cannot_be_read_is_told(
    records: list[RenderedObject], tmp_path: Path, calls: list[str]
) -> None:
    test = generator_test()
    list(test.rows(records[:1], tmp_path))
    before = len(calls)
    list(test.rows(records[:1], tmp_path))  # the mean object failed, see above
    assert len(calls) == 2 * before
    records[1].content.write_bytes(b"broken")
    (row,) = test.rows(records[1:], tmp_path)
    assert (row.object, row.method) == ("marble", "truth")
    assert "marble.glb cannot be read" in row.failure
