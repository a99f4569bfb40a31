"""The HTTP API: a photo in, a number of a job out, files when it is done. docs/serve.md describes it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from epimesh import __version__
from epimesh.apps.server.guard import address_of, as_json
from epimesh.apps.server.job import Job
from epimesh.apps.server.jobs import JobQueue
from epimesh.apps.server.limits import NotHere, Refused
from epimesh.errors import BadInput, EpimeshError
from epimesh.files.meshes import FORMATS

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

_VIEWER = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>mesh</title>
<style>html, body {{margin: 0; height: 100%}} model-viewer {{width: 100%; height: 100%}}</style>
<script type="module" src="/viewer.js"></script>
<model-viewer src="{address}" alt="the mesh" loading="eager" camera-controls auto-rotate auto-rotate-delay="0"
 rotation-per-second="30deg" interaction-prompt="none" shadow-intensity="0.6"></model-viewer>
</html>
"""
_FIELDS = ("preset", "elevation", "seed", "formats")


@dataclass(frozen=True)
class Offer:
    """What may be asked for.

    Args:
        presets: settings of pipelines by the name that people choose.
        formats: of mesh files.
    """

    presets: Mapping[str, tuple[str, ...]]
    formats: tuple[str, ...] = FORMATS

    def settings(self, preset: str = "", elevation: str = "auto") -> list[str]:
        """Of the pipeline that somebody asked for. Empty names the first preset.

        Raises:
            BadInput: a preset that is not offered, or no elevation.
        """
        chosen = preset or next(iter(self.presets))
        if chosen not in self.presets:
            raise BadInput(f"There is no preset '{chosen[:60]}' here.\nExpected one of: {', '.join(self.presets)}.")
        return [*self.presets[chosen], *_elevation(elevation)]


def _elevation(text: str) -> list[str]:
    if text in ("", "auto"):
        return []
    try:
        degrees = float(text)
    except ValueError:
        degrees = 999.0
    if not -90 <= degrees <= 90:
        raise BadInput(f"The elevation is '{text[:60]}'.\nExpected auto, or degrees from -90 to 90.")
    return [f"--read.elevation_deg={degrees:g}"]


def add_api(application: "FastAPI", jobs: JobQueue, offer: Offer) -> None:
    """Adds all routes to an application, and errors as JSON without paths or traces."""
    _add_answers_about_the_server(application, jobs, offer)
    _add_jobs(application, jobs, offer)


def _add_answers_about_the_server(application: "FastAPI", jobs: JobQueue, offer: Offer) -> None:
    from fastapi.responses import JSONResponse

    started = time.monotonic()

    async def refused(request: Any, error: Exception) -> JSONResponse:
        status = error.status if isinstance(error, Refused) else 400
        return JSONResponse(as_json(error), status)

    application.add_exception_handler(EpimeshError, refused)

    @application.get("/health")
    def health() -> dict[str, Any]:
        waiting, running = jobs.counts()
        seconds = round(time.monotonic() - started)
        return {"ok": True, "epimesh": __version__, "waiting": waiting, "running": running, "seconds": seconds}

    @application.get("/api/presets")
    def presets() -> dict[str, Any]:
        return {"presets": list(offer.presets), "formats": list(offer.formats)}


def _add_jobs(application: "FastAPI", jobs: JobQueue, offer: Offer) -> None:
    from fastapi.responses import FileResponse, HTMLResponse, Response
    from starlette.requests import Request

    @application.post("/api/jobs", status_code=202)
    async def submit(request: Request) -> dict[str, Any]:
        return _shown(await _submitted(request, jobs, offer), jobs)

    @application.get("/api/jobs/{key}")
    def look(key: str) -> dict[str, Any]:
        return _shown(jobs.find(key), jobs)

    @application.delete("/api/jobs/{key}")
    def cancel(key: str) -> dict[str, Any]:
        job = jobs.find(key)
        jobs.cancel(job)
        return _shown(job, jobs)

    @application.get("/api/jobs/{key}/view")
    def view(key: str) -> HTMLResponse:
        job = jobs.find(key)
        return HTMLResponse(_VIEWER.format(address=f"/api/jobs/{job.id}/files/{job.order.out.name}.glb"))

    @application.get("/viewer.js")
    def viewer() -> Response:
        script = files("epimesh.files.viewer").joinpath("model-viewer.min.js").read_bytes()
        return Response(script, media_type="text/javascript", headers={"Cache-Control": "max-age=86400"})

    @application.get("/api/jobs/{key}/files/{name}")
    def fetch(key: str, name: str) -> FileResponse:
        job = jobs.find(key)
        if name not in job.files():
            raise NotHere(f"There is no file '{name[:60]}'.\nThere are: {', '.join(job.files()) or 'none yet'}.")
        return FileResponse(job.order.out / name, filename=name)


async def _submitted(request: "Request", jobs: JobQueue, offer: Offer) -> Job:
    from starlette.concurrency import run_in_threadpool
    from starlette.datastructures import UploadFile

    form = await request.form(max_files=2, max_fields=len(_FIELDS))
    try:
        words = {name: value for name, value in form.items() if isinstance(value, str)}
        sent = {name: value for name, value in form.items() if isinstance(value, UploadFile)}
        unknown = [name[:60] for name in (*words, *sent) if name not in (*_FIELDS, "photo", "mask")]
        if unknown or "photo" not in sent:
            raise BadInput(
                f"Unknown parts of the form: {', '.join(unknown) or 'none'}; photo: {'photo' in sent}.\n"
                f"Expected the file photo, perhaps the file mask, and perhaps: {', '.join(_FIELDS)}."
            )
        photo = sent["photo"]
        mask = await sent["mask"].read() if "mask" in sent else None
        return await run_in_threadpool(
            jobs.submit,
            await photo.read(),
            name=photo.filename or "photo",
            owner=address_of(request.scope),
            settings=offer.settings(words.get("preset", ""), words.get("elevation", "auto")),
            mask=mask,
            seed=_seed(words.get("seed", "0")),
            formats=_formats(words.get("formats", "glb"), offer),
        )
    finally:
        await form.close()


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise BadInput(f"The seed is '{text[:60]}'.\nExpected a whole number from 0 to 999999999.")
    return int(text)


def _formats(text: str, offer: Offer) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if unknown := [name[:20] for name in names if name not in offer.formats]:
        raise BadInput(f"Cannot write {', '.join(unknown)}.\nExpected formats from: {', '.join(offer.formats)}.")
    return names


def _shown(job: Job, jobs: JobQueue) -> dict[str, Any]:
    """A job as its owner sees it."""
    return {
        "id": job.id,
        "state": job.state,
        "place": jobs.place(job),
        "doing": job.doing,
        "share": round(job.share, 3),
        "lines": list(job.lines),
        "message": job.message,
        "files": {name: f"/api/jobs/{job.id}/files/{name}" for name in job.files()} if job.state == "done" else {},
    }
