"""One run from input to files: the stages, what is written beside them, and the report of it all."""

import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from PIL import Image

from epimesh import __version__
from epimesh.artifact import Artifact
from epimesh.errors import BadInput, StageFailed
from epimesh.files.atomic import atomic_folder, output_file
from epimesh.files.meshes import READABLE, ExportSettings, check_formats, read_mesh, write_mesh
from epimesh.files.posed_set import write_transforms
from epimesh.files.viewer import viewer_page
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.pipeline.image_to_3d import ImageTo3D, photo_key, views_key
from epimesh.pipeline.licences import FROM_VIEWS, Policy, check_policy, provenance, weights_and_licences
from epimesh.pipeline.preset_file import SLOTS
from epimesh.pipeline.recorder import Recorder, StageRecord
from epimesh.pipeline.shown import ENOUGH, PICTURE, least_shown_view, shown_in_photo
from epimesh.pipeline.workspace import Workspace
from epimesh.rendering.turntable import turntable, write_animation
from epimesh.runtime import Runtime
from epimesh.views import Views

_VERSIONS_OF = ("torch", "diffusers", "numpy", "onnxruntime", "open3d", "open3d-cpu", "numba", "scikit-image", "xatlas")


def silent(line: str) -> None:
    """Says nothing."""


class Session:
    """Runs a pipeline into a folder.

    Args:
        out: the folder; its name also names the files.
        runtime: device, seed, reporter.
        formats: suffixes of the mesh files to write; GLB is the asset, the first one is reported first.
        export: where and how large the mesh stands in these files, and how small they are.
        policy: what the licences of all weights have to allow.
    """

    def __init__(
        self,
        out: Path,
        runtime: Runtime,
        formats: Sequence[str] = ("glb",),
        export: ExportSettings | None = None,
        policy: Policy = "any",
    ) -> None:
        self.out = out
        self.runtime = runtime
        self.policy = policy
        self.formats = [name.lower().lstrip(".") for name in formats]
        self.export = export or ExportSettings()
        self._started = time.perf_counter()

    def check(self, redo_from: str | None) -> None:
        """Refuses what cannot work before anything is computed.

        Raises:
            BadInput: an unknown format or slot.
            MissingExtra: what writes a format is not installed.
        """
        check_formats(self.formats, self.export)
        if redo_from is not None and redo_from not in SLOTS:
            raise BadInput(f"There is no slot '{redo_from}'.\nExpected --from with one of: {', '.join(SLOTS)}.")

    def photo_to_mesh(
        self,
        pipeline: ImageTo3D,
        photo: Path,
        *,
        redo_from: str | None = None,
        settings: str = "",
        say: Callable[[str], None] = silent,
    ) -> dict[str, Any]:
        """The whole way. Returns what is written to `run.json`.

        Raises:
            WeightsNotFound: a stage's weights are not there; nothing was computed then.
            LicenceRefused: the policy forbids the weights; nothing was computed then.
        """
        check_policy(pipeline, self.policy)
        licences = weights_and_licences(pipeline)
        key = photo_key(photo)
        run = Recorder(Workspace(self.out), self.runtime, key, redo_from)
        outputs = _told(pipeline.steps(photo, run), run, say)
        source = {"photo": photo.name, "photo_sha256": key, "generated": True}
        return self._finish(outputs, run, licences, settings, source, say)

    def views_to_mesh(
        self,
        pipeline: ImageTo3D,
        views: Views,
        *,
        redo_from: str | None = None,
        settings: str = "",
        say: Callable[[str], None] = silent,
    ) -> dict[str, Any]:
        """From views that are there already. Returns what is written to `run.json`.

        Raises:
            WeightsNotFound, LicenceRefused: as `photo_to_mesh`.
        """
        check_policy(pipeline, self.policy, FROM_VIEWS)
        licences = weights_and_licences(pipeline, FROM_VIEWS)
        run = Recorder(Workspace(self.out), self.runtime, views_key(views), redo_from)
        outputs = [views, *_told(pipeline.from_views(views, None, run), run, say)]
        return self._finish(iter(outputs), run, licences, settings, {"views": len(views), "generated": False}, say)

    def _finish(
        self,
        outputs: Iterator[Artifact],
        run: Recorder,
        licences: dict[str, str],
        settings: str,
        source: dict[str, Any],
        say: Callable[[str], None],
    ) -> dict[str, Any]:
        made = list(outputs)
        mesh = made[-1]
        assert isinstance(mesh, Mesh)
        files = self._write(mesh, made, provenance(licences, source["generated"]), say)
        shown = self._shown(mesh, made)
        if settings:
            with output_file(self.out / "config.yaml") as path:
                path.write_text(settings, encoding="utf-8")
        report = {
            "epimesh": __version__,
            "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            **source,
            "files": [str(file) for file in files],
            "faces": len(mesh.faces),
            "shown_share": round(shown, 4),
            "unseen_share": None if mesh.unseen_share is None else round(mesh.unseen_share, 4),
            "seconds": round(time.perf_counter() - self._started, 2),
            "peak_bytes": max(record.peak_bytes for record in run.records),
            "stages": [asdict(record) for record in run.records],
            "seed": self.runtime.seed,
            "device": self.runtime.device,
            "machine": f"{platform.platform()}, {os.cpu_count()} cores",
            "versions": _versions(),
            "license_policy": self.policy,
            "weights": licences,
            "warnings": list(getattr(self.runtime.reporter, "warnings", [])),
            "notes": list(getattr(self.runtime.reporter, "notes", [])),
        }
        with output_file(self.out / "run.json") as path:
            path.write_text(json.dumps(report, indent=1), encoding="utf-8")
        return report

    def _write(self, mesh: Mesh, made: list[Artifact], about: dict[str, Any], say: Callable[[str], None]) -> list[Path]:
        name = self.out.resolve().name
        files = [self.out / f"{name}.{suffix}" for suffix in self.formats]
        for file in files:
            write_mesh(mesh, file, self.export, about=about)
            say(f"{file}  {file.stat().st_size / 1000:.0f} kB")
        if self.export.compress == "none":
            _check_written(files[0], mesh)
        for output in made:
            if isinstance(output, Views):
                self._picture(output.preview(), "views.png")
            if isinstance(output, Photo):
                self._picture(output.preview(), "cutout.png")
        imagined = any(isinstance(output, Photo) for output in made)
        for views in [output for output in made if isinstance(output, Views) and imagined][-1:]:
            with atomic_folder(self.out / "views", replace=True) as folder:
                write_transforms(replace(views, depth=None, normals=None), folder)
        with self.runtime.reporter.busy("turntable"):
            write_animation(turntable(mesh), self.out / f"{name}.webp")
        with output_file(self.out / f"{name}.html") as path:
            path.write_text(viewer_page(self.export.placed(mesh), name), encoding="utf-8")
        return [*files, self.out / f"{name}.webp", self.out / f"{name}.html"]

    def _shown(self, mesh: Mesh, made: list[Artifact]) -> float:
        """How much of what the photo shows the mesh covers; without a photo, of what the least covered view shows."""
        photos = [output for output in made if isinstance(output, Photo)]
        views = [output for output in made if isinstance(output, Views)]
        shown = shown_in_photo(mesh, photos[0]) if photos else least_shown_view(mesh, views[-1])
        if shown.share < ENOUGH:
            self._picture(shown.picture, PICTURE)
            seen = "the photo shows" if photos else "one of the views shows"
            self.runtime.reporter.warn(
                f"The mesh covers {shown.share:.0%} of what {seen}; {PICTURE} has in red what is missing. "
                "Another --seed, or another preset, may keep it."
            )
        else:
            (self.out / PICTURE).unlink(missing_ok=True)
        return shown.share

    def _picture(self, picture: Image.Image, name: str) -> None:
        with output_file(self.out / name) as path:
            picture.save(path, format="PNG")


def _told(outputs: Iterator[Artifact], run: Recorder, say: Callable[[str], None]) -> Iterator[Artifact]:
    """Passes the outputs on and says a line about each stage."""
    for output in outputs:
        say(_line(run.records[-1]))
        if isinstance(output, Mesh) and output.unseen_share is not None:
            say(f"no image shows {output.unseen_share:.0%} of the surface; its colours there are continued")
        yield output


def _line(record: StageRecord) -> str:
    took = "reused" if record.reused else f"{record.seconds:6.1f} s  {record.peak_bytes / 1e9:.1f} GB"
    return f"{record.slot:<12} {record.stage:<16} {took}"


def _check_written(file: Path, mesh: Mesh) -> None:
    if file.suffix.lstrip(".") not in READABLE:
        return
    found = len(read_mesh(file).faces)
    if found != len(mesh.faces):
        raise StageFailed(
            f"{file} holds {found} triangles after writing, but the mesh has {len(mesh.faces)}.\n"
            "The disk may be full or failing: run the same command again, or choose another --out."
        )


def _versions() -> dict[str, str]:
    found = {}
    for name in _VERSIONS_OF:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {"python": platform.python_version(), **found}
