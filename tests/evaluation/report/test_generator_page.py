"""The page of a test: whole in itself, true to the scores, safe with any name, and made without measuring again."""

import io
import json
import re
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import tiny_stages
import trimesh
from gso_folder import write_gso
from PIL import Image
from tiny_test import generator_test

from epimesh.cli import main
from epimesh.data.objects import read_manifest
from epimesh.evaluation.ground_truth.truth_object import RenderedObject
from epimesh.evaluation.metrics.scores import Scores
from epimesh.evaluation.report.generator_page import write_page
from epimesh.evaluation.report.generator_report import facts
from epimesh.evaluation.report.objects_part import objects_part
from epimesh.evaluation.report.svg import number
from epimesh.evaluation.report.thumbnails import FOLDER, Thumbnails

NASTY = "urn & vase's"
VOID = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """What a browser would find: tags that are open, pictures, headings in order, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.kinds: list[tuple[str, str]] = []
        self.titles: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.sources += [str(given[name]) for name in ("src", "href") if name in given]
        if tag == "img":
            self.kinds.append((given.get("class") or "", given["alt"] or ""))
        if tag == "h3":
            self.titles.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Shapes of drawings close themselves."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open[-1:] == ["h3"]:
            self.titles[-1] += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A test of a ball, a thin plank whose name is markup, and a file that is no mesh, with two seeds; and its page."""
    folder = tmp_path_factory.mktemp("report")
    objects = folder / "objects"
    objects.mkdir()
    rows = ["id,file,split,hard,licence,attribution,family,realistic"]
    for file, shape in (("ball", trimesh.creation.icosphere(2, 0.5)), ("thin", trimesh.creation.box([0.1, 1.0, 0.1]))):
        (objects / f"{file}.glb").write_bytes(shape.export(file_type="glb"))
    (objects / "torn.glb").write_bytes(b"no mesh")
    named = {"ball": "ball.glb", NASTY.replace('"', '""'): "thin.glb", "torn": "torn.glb"}
    rows += [f'"{name}",{file},test,0,CC0-1.0,me,{file},0' for name, file in named.items()]
    (objects / "manifest.csv").write_text("\n".join(rows) + "\n")
    (folder / "tiny.yaml").write_text(tiny_stages.PRESET)
    assert generator(folder, "--html") == 0
    return folder


def generator(folder: Path, *options: str) -> int:
    command = ["eval", "generator", str(folder / "objects"), str(folder / "out"), "--preset", str(folder / "tiny.yaml")]
    ring = ["--views", "tiny_test.RingOfSixteen", "--photo-size", "32", "--seeds", "[0,1]"]
    return main([*command, *ring, *options])


def read(folder: Path) -> Page:
    return Page((folder / "out" / "report.html").read_text())


def picture(source: str) -> Image.Image:
    return Image.open(io.BytesIO(b64decode(source.removeprefix("data:image/webp;base64,"))))


def test_the_page_holds_everything_and_asks_the_network_for_nothing(folder: Path) -> None:
    page = read(folder)
    assert page.open == []
    assert all(source.startswith("data:") for source in page.sources)
    text = (folder / "out" / "report.html").read_text()
    assert not re.search(r"url\(|@import|<script src|fetch\(", text)
    assert text.count("http") == text.count('xmlns="http://www.w3.org/2000/svg"')  # a name, nothing to load
    pictures = [picture(source) for source in page.sources if source.startswith("data:image")]
    sizes = [(kind, one.size) for (kind, _), one in zip(page.kinds, pictures, strict=True)]
    # Of two objects: the photo, then the views that two seeds imagined and the true ones.
    assert sizes == [("", (160, 160)), *[("strip", (16 * 96, 96))] * 3] * 2
    assert len(text) < 1e6


def test_names_are_text_and_failures_are_named(folder: Path) -> None:
    page = read(folder)
    assert set(page.titles) == {"ball", NASTY, "torn"}
    assert f"photo of {NASTY}" in [alt for _, alt in page.kinds]
    assert "1 of 9 answers failed" in page.text
    assert "torn, truth: BadInput" in page.text
    assert "No pictures were kept of it." in page.text


def test_the_scores_of_the_page_are_those_of_the_table_and_the_worst_object_comes_first(folder: Path) -> None:
    page, text = read(folder), (folder / "out" / "report.html").read_text()
    summary = json.loads((folder / "out" / "summary.json").read_text())
    means = {(one["method"], one["measure"]): one["mean"] for one in summary["summaries"]}
    for method in ("generator", "copy the photo", "mean object"):
        assert f"{number(means[method, 'novel_psnr'])} ±" in page.text
    overlaps = [float(value) for value in re.findall(r'data-silhouetteiou="([\d.e-]+)"', text)]
    assert len(overlaps) == 2
    assert overlaps == sorted(overlaps)
    assert page.titles[0] == "torn"
    assert text.count("<svg") == 2  # novel views and silhouettes
    assert text.count("<title>ball: ") == text.count("<title>urn &amp; vase&#x27;s: ") == 2 * 3


def test_objects_are_put_in_order_by_what_most_of_them_have_failures_first(tmp_path: Path) -> None:
    rows = [
        Scores("good", "generator", 0, values={"f_score": 0.9}),
        Scores("bad", "generator", 0, values={"f_score": 0.2}),
        Scores("unscored", "generator", 0, values={"volume_iou": 0.5}),
        Scores("torn", "generator", 0, failure="no mesh"),
    ]
    page = Page(objects_part(rows, Thumbnails(tmp_path)))
    assert page.titles == ["torn", "bad", "good", "unscored"]
    assert page.text.index("worst F-score first") < page.text.index("worst volume IoU first")


def test_the_true_views_are_no_dot_where_they_are_compared_with_themselves(tmp_path: Path) -> None:
    rows = [
        Scores("cup", "generator", 0, values={"novel_psnr": 15.0, "warp_psnr": 20.0}),
        Scores("cup", "true views", values={"novel_psnr": 100.0, "warp_psnr": 25.0}),
    ]
    text = write_page("A cup", rows, facts(generator_test(), "one"), tmp_path).read_text()
    assert re.findall(r"<title>(cup: .*?)</title>", text) == ["cup: 15.0", "cup: 20.0", "cup: 25.0"]


def test_making_the_page_again_measures_nothing_again(folder: Path) -> None:
    path = folder / "out" / "report.html"
    first = path.read_text()
    path.unlink()
    tiny_stages.CALLS.clear()
    assert generator(folder) == 0
    assert not path.exists()  # nobody asked for it
    assert generator(folder, "--html") == 0
    assert path.read_text() == first
    assert tiny_stages.CALLS == []


def test_scores_whose_pictures_are_gone_still_make_a_page(folder: Path) -> None:
    for kept in (folder / "out" / "pictures" / "ball").iterdir():
        kept.unlink()
    assert generator(folder, "--html") == 0
    page = read(folder)
    assert [kind for kind, _ in page.kinds] == ["", "strip", "strip", "strip"]
    assert page.text.count("No pictures were kept of it.") == 2


def test_shapes_turn_together_beside_the_views(objects: Path, tmp_path: Path) -> None:
    subject = RenderedObject(read_manifest(objects, "test")[1])
    test = generator_test(mesh=True)
    rows = list(test.rows([subject], tmp_path, Thumbnails(tmp_path / FOLDER)))
    path = write_page("A ball", rows, facts(test, "one"), tmp_path)
    page = Page(path.read_text())
    turns = [
        picture(source)
        for source, (kind, _) in zip([one for one in page.sources if "image" in one], page.kinds, strict=True)
        if kind == "turn"
    ]
    assert [one.size for one in turns] == [(12 * 160, 160)] * 2
    made, true = (np.asarray(one.convert("L"), np.float32) for one in turns)
    assert np.abs(true[:, :160] - true[:, 480:640]).mean() < 2  # a ball looks the same from all sides
    assert np.abs(made[:, :160] - made[:, 480:640]).mean() > 5  # a tetrahedron does not
    assert "volume IoU" in page.text


@pytest.mark.parametrize("kind", ["gso", "nvs"])
def test_scanned_objects_get_a_page_with_published_numbers(kind: str, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(tiny_stages.PRESET)
    scans = write_gso(tmp_path / "scans", "alarm", "teapot")
    command = ["eval", kind, str(scans), str(tmp_path / "out"), "--preset", str(tmp_path / "tiny.yaml"), "--html"]
    own = ["--photos", "2", "--seeds", "[0]"] if kind == "nvs" else ["--views-only"]
    assert main([*command, "--views", "tiny_test.RingOfSixteen", *own]) == 0
    page = read(tmp_path)
    assert page.open == []
    strips = [alt for kind, alt in page.kinds if kind == "strip"]
    assert len(strips) == (8 if kind == "nvs" else 4)
    assert ("Zero-to-Hero" if kind == "nvs" else "HarmonyView") in page.text
    if kind == "nvs":
        assert all(re.fullmatch(r"(alarm|teapot)-from-\d{3}", title) for title in page.titles)
