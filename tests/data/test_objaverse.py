"""Objects of Objaverse become a collection that renders: chosen, whole, in this package's frame, and attributed."""

import csv
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import trimesh
from objaverse_mirror import Mirror, entry, fill, glb, lines, uid

from epimesh.cli import data, render
from epimesh.data.glb_frame import write_in_frame
from epimesh.data.objaverse import download as downloading
from epimesh.data.objaverse.annotation import read_annotation
from epimesh.data.objaverse.choice import Choice, split_of
from epimesh.data.objects import load_object, read_manifest
from epimesh.errors import BadInput

A, B, C, D = sorted((uid(number) for number in range(4)), key=lambda name: int(name, 16))
PART = "000-023"


def path_of(name: str, part: str = PART) -> str:
    return f"glbs/{part}/{name}.glb"


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """Four objects, two in each of two parts."""
    monkeypatch.setattr(downloading.time, "sleep", lambda _: None)  # attempts follow at once
    mirror = Mirror()
    fill(mirror, {PART: {A: entry(A), B: entry(B, "cc0")}, "000-101": {C: entry(C), D: entry(D)}})
    yield mirror
    mirror.close()


def collect(mirror: Mirror, out: Path, *more: str) -> int:
    return data.main(["objaverse", str(out), "--mirror", mirror.url, "--processes", "1", *more])


def rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "manifest.csv").open(newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def test_a_collection_has_every_object_with_its_licence_and_author(mirror: Mirror, tmp_path: Path) -> None:
    assert collect(mirror, tmp_path / "out") == 0
    found = rows(tmp_path / "out")
    assert set(found) == {A, B, C, D}
    assert {name: row["licence"] for name, row in found.items()} == {
        A: "CC-BY-4.0",
        B: "CC0-1.0",
        C: "CC-BY-4.0",
        D: "CC-BY-4.0",
    }
    assert found[A]["attribution"] == f'"Box {A[:4]}" by Ann Author, https://example.org/{A}'
    assert all(row["split"] == split_of(name) for name, row in found.items())
    assert not (tmp_path / "out" / "originals" / PART / f"{A}.glb").exists()


def test_a_collection_is_rendered_like_any_folder_of_objects(mirror: Mirror, tmp_path: Path) -> None:
    collect(mirror, tmp_path / "out")
    split = split_of(A)
    arguments = [str(tmp_path / "out"), str(tmp_path / "views"), "--views", "six", "--size", "32", "--split", split]
    assert render.main([*arguments, "--processes", "1", "--renderer", "rays"]) == 0
    facts = json.loads((tmp_path / "views" / A / "object.json").read_text())
    assert (facts["licence"], facts["family"]) == ("CC-BY-4.0", A)


def test_objects_are_centred_with_longest_side_1_and_stand_on_the_z_axis(mirror: Mirror, tmp_path: Path) -> None:
    """A box 2 wide (X), 4 high (Y) and 6 deep (Z) in glTF: its depth lies along x, its width along y."""
    mirror.files[path_of(A)] = glb((2, 4, 6), move=(30, -5, 1))
    collect(mirror, tmp_path / "out")
    vertices = load_object(tmp_path / "out" / "glb" / PART / f"{A}.glb").vertices
    torch.testing.assert_close(vertices.amax(0), torch.tensor([1 / 2, 1 / 6, 1 / 3]), atol=1e-5, rtol=0)
    torch.testing.assert_close(vertices.amin(0), -vertices.amax(0), atol=1e-5, rtol=0)


def test_what_looks_forward_in_gltf_looks_along_x_and_its_left_lies_along_y(tmp_path: Path) -> None:
    arrow = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 0.5, 0], [0, 0, 2]], [[0, 1, 2], [0, 2, 3]], process=False)
    arrow.export(tmp_path / "arrow.glb")
    write_in_frame(tmp_path / "arrow.glb", tmp_path / "framed.glb", "")
    _, left, up, front = (
        load_object(tmp_path / "framed.glb").vertices - load_object(tmp_path / "framed.glb").vertices[0]
    )
    torch.testing.assert_close(front, torch.tensor([1.0, 0, 0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(left, torch.tensor([0, 0.5, 0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(up, torch.tensor([0, 0, 0.25]), atol=1e-6, rtol=0)


def chunks(content: bytes) -> tuple[dict[str, Any], bytes]:
    size = struct.unpack_from("<I", content, 12)[0]
    return json.loads(content[20 : 20 + size]), content[20 + size :]


def test_only_a_node_and_a_notice_are_added_to_a_file(mirror: Mirror, tmp_path: Path) -> None:
    """Meshes, materials and pictures stay as they were published, to the byte."""
    collect(mirror, tmp_path / "out", "--keep-originals")
    original = (tmp_path / "out" / "originals" / PART / f"{A}.glb").read_bytes()
    assert original == mirror.files[path_of(A)]
    before, binary_before = chunks(original)
    after, binary_after = chunks((tmp_path / "out" / "glb" / PART / f"{A}.glb").read_bytes())
    assert binary_after == binary_before
    assert after["asset"]["copyright"].endswith("CC-BY-4.0")
    for key in set(before) - {"asset", "scenes", "nodes"}:
        assert after[key] == before[key]
    assert after["nodes"][:-1] == before["nodes"]
    assert after["nodes"][-1]["children"] == before["scenes"][0]["nodes"]


def test_an_interrupted_download_goes_on_where_it_was(mirror: Mirror, tmp_path: Path) -> None:
    mirror.cut_after[path_of(A)] = [100, 50]
    collect(mirror, tmp_path / "out", "--keep-originals")
    asked = [wanted for path, wanted in mirror.asked if path == path_of(A)]
    assert asked == [None, "bytes=100-", "bytes=150-"]
    assert (tmp_path / "out" / "originals" / PART / f"{A}.glb").read_bytes() == mirror.files[path_of(A)]


def test_a_server_that_only_sends_whole_files_is_fine_too(mirror: Mirror, tmp_path: Path) -> None:
    mirror.knows_ranges = False
    mirror.cut_after[path_of(A)] = [100]
    collect(mirror, tmp_path / "out", "--keep-originals")
    assert (tmp_path / "out" / "originals" / PART / f"{A}.glb").read_bytes() == mirror.files[path_of(A)]


def test_a_download_that_never_ends_well_is_skipped_and_taken_up_by_the_next_run(
    mirror: Mirror, tmp_path: Path
) -> None:
    mirror.cut_after[path_of(A)] = [100, 100, 100, 100]
    collect(mirror, tmp_path / "out")
    assert set(rows(tmp_path / "out")) == {B, C, D}
    assert "400 of" in lines(tmp_path / "out" / "skipped.txt")[0]
    assert not (tmp_path / "out" / "glb" / PART / f"{A}.glb").exists()
    mirror.asked.clear()
    collect(mirror, tmp_path / "out")
    assert mirror.asked == [(path_of(A), "bytes=400-")]
    assert set(rows(tmp_path / "out")) == {A, B, C, D}
    assert lines(tmp_path / "out" / "skipped.txt") == []


def test_a_second_run_downloads_nothing_and_writes_the_same_manifest(mirror: Mirror, tmp_path: Path) -> None:
    collect(mirror, tmp_path / "out")
    before = (tmp_path / "out" / "manifest.csv").read_bytes()
    mirror.asked.clear()
    collect(mirror, tmp_path / "out")
    assert mirror.asked == []
    assert (tmp_path / "out" / "manifest.csv").read_bytes() == before


def test_a_stopped_run_leaves_a_manifest_of_what_is_there(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(url: str, path: Path) -> None:
        if url.endswith((f"{C}.glb", f"{D}.glb")):
            raise KeyboardInterrupt
        downloading.download(url, path)

    monkeypatch.setattr("epimesh.data.objaverse.collect.download", stopped)
    with pytest.raises(KeyboardInterrupt):
        collect(mirror, tmp_path / "out")
    assert {record.id for record in read_manifest(tmp_path / "out")} == {A, B}


CORRUPT = {
    "cut off": glb()[:-200],
    "no glb": b"<html>Too many requests</html>",
    "empty": b"",
    "no triangles": bytes(trimesh.Scene([trimesh.PointCloud([[0, 0, 0], [1, 1, 1]])]).export(file_type="glb")),
    "a point": glb((0.0, 0.0, 0.0)),
    "nonsense inside": glb()[:20] + b"{" * 400 + glb()[420:],
}


@pytest.mark.parametrize("content", CORRUPT.values(), ids=CORRUPT.keys())
def test_a_damaged_object_is_listed_and_skipped_and_the_others_are_kept(
    mirror: Mirror, tmp_path: Path, content: bytes
) -> None:
    mirror.files[path_of(A)] = content
    assert collect(mirror, tmp_path / "out") == 0
    assert [line.split("\t")[0] for line in lines(tmp_path / "out" / "skipped.txt")] == [A]
    assert set(rows(tmp_path / "out")) == {B, C, D}
    assert [path.name for path in (tmp_path / "out" / "glb" / PART).iterdir()] == [f"{B}.glb"]
    assert list((tmp_path / "out" / "originals").rglob("*.glb")) == []
    mirror.files[path_of(A)] = glb()
    collect(mirror, tmp_path / "out")
    assert A in rows(tmp_path / "out")


def test_bytes_with_another_checksum_than_stated_are_never_kept(mirror: Mirror, tmp_path: Path) -> None:
    mirror.stated_sha256[path_of(A)] = "0" * 64
    collect(mirror, tmp_path / "out")
    assert "checksum" in lines(tmp_path / "out" / "skipped.txt")[0]
    assert [path for path in (tmp_path / "out").rglob(f"*{A}*") if path.is_file()] == []


def test_a_busy_server_is_asked_again_when_it_says_and_a_missing_file_is_not(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(downloading.time, "sleep", waits.append)
    mirror.fail_with[path_of(A)] = [503, 429]
    del mirror.files[path_of(B)]
    collect(mirror, tmp_path / "out")
    assert mirror.paths().count(path_of(A)) == 3
    assert waits == [77, 77]
    assert lines(tmp_path / "out" / "skipped.txt")[0].startswith(f"{B}\t")
    assert "404" in lines(tmp_path / "out" / "skipped.txt")[0]


def test_objects_without_a_licence_or_with_another_one_are_left_out_and_counted(
    mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = {A: entry(A, None), B: entry(B, "free for all"), C: entry(C, "by-nc"), D: entry(D)}
    fill(mirror, {PART: members})
    collect(mirror, tmp_path / "out")
    assert set(rows(tmp_path / "out")) == {D}
    assert "2 no known licence, 1 licence CC-BY-NC-4.0" in capsys.readouterr().out
    assert path_of(A) not in mirror.paths()
    collect(mirror, tmp_path / "more", "--licences", "[CC-BY-NC-4.0]")
    assert rows(tmp_path / "more")[C]["licence"] == "CC-BY-NC-4.0"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"archives": {"glb": {"faceCount": 12, "textureCount": 1, "size": 20_000}}}, "number of faces"),
        ({"archives": {"glb": {"faceCount": 1_000_000, "textureCount": 1, "size": 20_000}}}, "number of faces"),
        ({"archives": {"glb": {"faceCount": 192, "textureCount": 0, "size": 20_000}}}, "no texture"),
        ({"archives": {"glb": {"faceCount": 192, "textureCount": 1, "size": 200_000_000}}}, "size of the file"),
        ({"archives": {}}, "number of faces"),
        ({"animationCount": 2}, "animated"),
        ({"animationCount": None}, "animated"),
        ({"isAgeRestricted": True}, "age-restricted"),
        ({"isAgeRestricted": None}, "age-restricted"),
    ],
)
def test_what_the_choice_asks_for_has_to_be_stated_and_met(change: dict[str, Any], reason: str) -> None:
    assert Choice().reason_against(read_annotation(A, entry(A))) is None
    assert Choice().reason_against(read_annotation(A, entry(A, **change))) == reason


def test_scans_count_as_realistic() -> None:
    scanned = entry(A, tags=[{"name": "3D Scan", "slug": "3d-scan"}])
    assert read_annotation(A, scanned).scanned
    assert not read_annotation(A, entry(A)).scanned


def test_an_annotation_of_which_everything_is_missing_is_read_and_not_chosen() -> None:
    assert Choice().reason_against(read_annotation(A, {})) == "no known licence"


def test_a_larger_limit_adds_to_the_objects_of_a_smaller_one(mirror: Mirror, tmp_path: Path) -> None:
    names = [uid(number) for number in range(10, 16)]
    fill(mirror, {"000-001": {name: entry(name) for name in names}})
    found = []
    for limit in ("2", "4"):
        collect(mirror, tmp_path / limit, "--limit", limit)
        found.append(set(rows(tmp_path / limit)))
    assert len(found[0]) == 2
    assert len(found[1]) == 4
    assert found[0] < found[1]


def test_a_small_limit_reads_the_lists_of_no_more_parts_than_it_needs(mirror: Mirror, tmp_path: Path) -> None:
    collect(mirror, tmp_path / "out", "--limit", "1")
    assert "metadata/000-101.json.gz" not in mirror.paths()


def test_the_split_is_96_2_2_and_depends_on_the_name_alone() -> None:
    splits = [split_of(uid(number)) for number in range(20_000)]
    shares = {split: splits.count(split) / len(splits) for split in ("train", "val", "test")}
    assert shares == pytest.approx({"train": 0.96, "val": 0.02, "test": 0.02}, abs=0.005)
    assert split_of("8476c4170df24cf5bbe6967222d1a42d") == "train"


def test_only_listed_or_labelled_objects_are_taken(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "uids.txt").write_text(f"{A}\n\n{C}.glb\n")
    collect(mirror, tmp_path / "listed", "--uids", str(tmp_path / "uids.txt"))
    assert set(rows(tmp_path / "listed")) == {A, C}
    mirror.add_list("lvis-annotations.json.gz", {"box": [A, B], "crate": [B, uid(99)]})
    collect(mirror, tmp_path / "labelled", "--lvis")
    assert set(rows(tmp_path / "labelled")) == {A, B}


@pytest.mark.parametrize(
    ("text", "words"),
    [("what is this", "what is this"), ("", "no line"), (f"{A}\n{uid(77)}", "1 of 2 uids are not in the data set")],
)
def test_wrong_lists_of_uids_are_refused(mirror: Mirror, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "uids.txt").write_text(text)
    with pytest.raises(BadInput, match=words):
        collect(mirror, tmp_path / "out", "--uids", str(tmp_path / "uids.txt"))


def test_a_path_that_leaves_the_folder_is_refused(mirror: Mirror, tmp_path: Path) -> None:
    mirror.add_list("object-paths.json.gz", {A: f"glbs/../../{A}.glb"})
    with pytest.raises(BadInput, match="PART/UID"):
        collect(mirror, tmp_path / "out")


def test_a_list_that_is_none_is_removed_so_that_the_next_run_gets_it_anew(mirror: Mirror, tmp_path: Path) -> None:
    good = mirror.files["object-paths.json.gz"]
    mirror.files["object-paths.json.gz"] = b"<html>Sorry</html>"
    with pytest.raises(BadInput, match="run the same command again"):
        collect(mirror, tmp_path / "out")
    mirror.files["object-paths.json.gz"] = good
    assert collect(mirror, tmp_path / "out") == 0


def test_unknown_licences_other_addresses_and_empty_choices_are_refused(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="CC-BY-ND"):
        collect(mirror, tmp_path / "out", "--licences", "[public domain]")
    with pytest.raises(BadInput, match="https://"):
        data.main(["objaverse", str(tmp_path / "out"), "--mirror", "ftp://example.org"])
    with pytest.raises(BadInput, match="No object is left: 4 number of faces"):
        collect(mirror, tmp_path / "out", "--min_faces", "5000")


@pytest.mark.slow
def test_two_processes_collect_the_same_as_one(mirror: Mirror, tmp_path: Path) -> None:
    for processes in ("1", "2"):
        collect(mirror, tmp_path / processes, "--processes", processes)
    for path in (tmp_path / "1").rglob("*.glb"):
        assert path.read_bytes() == (tmp_path / "2" / path.relative_to(tmp_path / "1")).read_bytes()
    assert (tmp_path / "1" / "manifest.csv").read_bytes() == (tmp_path / "2" / "manifest.csv").read_bytes()
