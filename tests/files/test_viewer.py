"""The page beside a mesh: one file that shows it without a network, in a real browser."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_mesh_files import signpost

from epimesh.files.viewer import viewer_frame, viewer_page
from epimesh.mesh import Mesh

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
HEADLESS = [
    *("--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars"),
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=20000", "--window-size=480,360"),
]


def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium or Chrome to open the page with")
    return found


def screenshot(page: Path) -> np.ndarray:
    """What the browser shows when the page has come to rest."""
    picture = page.with_suffix(".png")
    profile = f"--user-data-dir={page.parent / 'profile'}"
    command = [browser(), *HEADLESS, profile, f"--screenshot={picture}", page.as_uri()]
    subprocess.run(command, capture_output=True, timeout=300, check=True)
    return np.asarray(Image.open(picture).convert("RGB")).astype(int)


@pytest.mark.slow
def test_the_page_shows_the_front_of_the_mesh_without_a_network(tmp_path: Path) -> None:
    (tmp_path / "my post.html").write_text(viewer_page(signpost(), "my post"))
    pixels = screenshot(tmp_path / "my post.html")
    red = (pixels[..., 0] > 90) & (pixels[..., 1:].max(-1) < 70)
    assert red.mean() > 0.05  # the box's front
    assert (pixels[:8, :8] > 250).all()  # on white


def test_the_page_names_nothing_that_has_to_be_fetched_and_a_name_cannot_break_it() -> None:
    page = viewer_page(signpost(), '<b>"bird" & co')
    outside = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r"(?:src|href)=\"(?!data:)", outside)
    assert "<title>&lt;b&gt;&quot;bird&quot; &amp; co</title>" in page
    assert page.count("</script>") == 1


def test_a_notebook_gets_a_picture_and_a_page_of_every_mesh() -> None:
    formatters = pytest.importorskip("IPython.core.formatters", reason="what notebooks ask: pip install ipython")
    shown, _ = formatters.DisplayFormatter().format(signpost())
    assert shown["image/png"].startswith(b"\x89PNG")
    assert shown["text/html"] == viewer_frame(signpost(), "mesh")
    assert shown["text/plain"].startswith("Mesh(vertices=<24 x 3>, faces=<12 x 3>")
    assert len(shown["text/plain"]) < 200


def test_the_licences_of_the_viewer_lie_beside_it() -> None:
    import epimesh.files.viewer as viewer

    folder = Path(viewer.__file__).parent
    licences = (folder / "LICENSES.txt").read_text()
    for part in ("Apache License", "three.js", "Lit", "fflate", "Permission is hereby granted", "Redistributions in"):
        assert part in licences
    assert "2017 Google LLC" in (folder / "model-viewer.min.js").read_text()


def test_a_mesh_without_a_texture_has_a_page_too() -> None:
    plain = Mesh(signpost().vertices, signpost().faces)
    assert "model/gltf-binary" in viewer_page(plain, "plain")
