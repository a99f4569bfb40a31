"""The photo that a generator is given: from the right place, whole, and with clean edges."""

from pathlib import Path

import pytest
import torch

from epimesh.cameras import Cameras
from epimesh.data.objects import read_manifest
from epimesh.errors import BadInput
from epimesh.evaluation.ground_truth.truth_object import truth_object


@pytest.mark.parametrize("elevation_deg", [-10.0, 30.0, 60.0])
def test_photo_and_ring_show_the_object_whole_and_the_mesh_is_scaled_with_it(
    objects: Path, elevation_deg: float
) -> None:
    for record in read_manifest(objects, "train"):
        truth = truth_object(record, elevation_deg=elevation_deg, size=64, threads=1)
        ring = truth.views(Cameras.ring(size=64), threads=1)
        for alpha in [truth.photo.rgba[3], *ring.alpha[:, 0]]:
            assert float(alpha[0].max() + alpha[-1].max() + alpha[:, 0].max() + alpha[:, -1].max()) == 0
            assert float(alpha.max()) == 1
        sides = truth.mesh.vertices.amax(0) - truth.mesh.vertices.amin(0)
        assert 0.5 < truth.scale <= 1
        assert float(sides.max()) == pytest.approx(truth.scale, abs=1e-4)


def test_the_photo_is_what_the_ring_camera_at_its_place_sees(objects: Path) -> None:
    truth = truth_object(read_manifest(objects, "test")[0], elevation_deg=30.0, size=64, threads=1)
    ring = truth.views(Cameras.ring(size=64), threads=1)
    torch.testing.assert_close(truth.photo.on_white(), ring.rgb[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(truth.photo.camera.centres, ring.cameras.centres[:1])
    # Straight alpha: an edge pixel has the colour of the object, not a mix with white.
    edge = (truth.photo.rgba[3] > 0.2) & (truth.photo.rgba[3] < 0.8)
    inside = truth.photo.rgba[3] == 1
    assert float(truth.photo.rgba[:3, edge].max()) <= float(truth.photo.rgba[:3, inside].max()) + 1e-4


def test_an_object_that_cannot_be_read_is_refused(objects: Path) -> None:
    record = read_manifest(objects, "test")[0]
    record.path.write_bytes(record.path.read_bytes()[:200])
    with pytest.raises(BadInput, match=r"chest\.glb cannot be read"):
        truth_object(record, elevation_deg=30.0, size=32)
