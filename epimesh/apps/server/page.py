"""The web page: a photo in, its cut-out to correct, views as they come, a mesh to turn, files to take. Needs gradio."""

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from epimesh.apps.server.api import Offer
from epimesh.apps.server.correction import KEEP, REMOVE, corrected, is_touched, tinted
from epimesh.apps.server.job import Job
from epimesh.apps.server.jobs import JobQueue
from epimesh.errors import EpimeshError

_PAUSE = 0.5  # seconds between two looks at a job
_EXAMPLES = Path(__file__).parents[3] / "examples"  # of a clone; the wheel has none
_TITLE = "epimesh: from one photo of an object to a textured mesh"
_INTRODUCTION = """# epimesh
Drop a photo of **one object**. Look at the cut-out first, if you like, and mend it. Then make the mesh."""
STYLE = """
.gradio-container {max-width: 1200px !important; width: 100%; margin: auto}
#model iframe {width: 100%; height: 360px; border: 0}
"""


class Page:
    """The functions behind the page's buttons. What is on the page belongs to one visitor; the queue is shared."""

    def __init__(self, jobs: JobQueue, offer: Offer) -> None:
        self._jobs = jobs
        self._offer = offer
        self._formats = [name for name in ("glb", "usdz", "stl", "obj") if name in offer.formats]

    def find_object(self, photo: str | None, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Cuts the object out and shows it for painting: the picture, the mask's job, the status."""
        if photo is None:
            raise gr.Error("Choose a photo first.")
        job = self._submitted(photo, request, mask_only=True)
        for status in self._followed(job):
            yield gr.skip(), job.id, status
        if job.state == "done":
            yield tinted(job.order.photo, job.order.out / "mask.png"), job.id, "Green keeps, red removes."

    def make(
        self,
        photo: str | None,
        painted: dict[str, Any] | None,
        found: str,
        mask: str | None,
        preset: str,
        guess: bool,
        degrees: float,
        seed: float | None,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        """Makes the mesh and shows what is there of it, again and again until it is done: job, then `_shown`."""
        if photo is None:
            raise gr.Error("Choose a photo first.")
        given = Path(mask).read_bytes() if mask else self._painted(painted, found)
        settings = self._offer.settings(preset, "auto" if guess else str(degrees))
        job = self._submitted(photo, request, settings=settings, mask=given, seed=int(seed or 0), formats=self._formats)
        try:
            for status in self._followed(job):
                yield job.id, status, gr.skip(), _views(job), gr.skip()
        finally:
            self._jobs.cancel(job)  # of a visitor who has left; of one that is done nothing happens
        if job.state == "done":
            yield self._results(job)

    def cancel(self, key: str) -> str:
        """Stops the visitor's job."""
        try:
            self._jobs.cancel(self._jobs.find(key))
        except EpimeshError:
            return "There is nothing to cancel."
        return "Cancelled."

    def _submitted(self, photo: str, request: gr.Request, **more: Any) -> Job:
        owner = request.client.host if request.client else "unknown"
        more.setdefault("settings", self._offer.settings())
        try:
            return self._jobs.submit(Path(photo).read_bytes(), name=Path(photo).name, owner=owner, **more)
        except EpimeshError as error:
            raise gr.Error(str(error), duration=None) from None

    def _followed(self, job: Job) -> Iterator[str]:
        """What to say of a job, until it is over."""
        while not job.is_over:
            yield self._status(job)
            time.sleep(_PAUSE)
        if job.state == "failed":
            raise gr.Error(job.message, duration=None)
        yield "Done." if job.state == "done" else "Cancelled."

    def _status(self, job: Job) -> str:
        if place := self._jobs.place(job):
            return f"Waiting: place {place} in the queue."
        done = "".join(f"\n* {line.split()[0]} is done" for line in job.lines)
        doing = f"{job.doing}: {job.share:.0%}" if job.doing else "working"
        return f"Making it: {doing}{done}"

    def _painted(self, painted: dict[str, Any] | None, found: str) -> bytes | None:
        """The corrected mask, if somebody painted on the cut-out."""
        if not found or painted is None or not is_touched(painted["layers"]):
            return None
        content = io.BytesIO()
        corrected(self._jobs.find(found).order.out / "mask.png", painted["layers"]).save(content, format="PNG")
        return content.getvalue()

    def _results(self, job: Job) -> tuple[Any, ...]:
        out = job.order.out
        files = [str(out / name) for name in job.files() if not name.endswith(".webp")]
        model = f'<iframe title="the mesh, turning" src="/api/jobs/{job.id}/view"></iframe>'
        return job.id, f"Done in {job.seconds:.0f} seconds.", model, _views(job), files


def _views(job: Job) -> list[Image.Image]:
    """The cut-out and the views, as far as they are there."""
    pictures = []
    for path in (job.preview("read"), job.preview("decode")):
        if path is not None:
            with Image.open(path) as picture:
                pictures.append(picture.convert("RGB"))
    return pictures


@dataclass(frozen=True)
class _Given:
    """What a visitor gives."""

    photo: gr.Image
    make: gr.Button
    cancel: gr.Button
    preset: gr.Dropdown
    guess: gr.Checkbox
    degrees: gr.Slider
    find: gr.Button
    editor: gr.ImageEditor
    mask: gr.Image
    seed: gr.Number


def _given(presets: list[str]) -> _Given:
    photo = gr.Image(type="filepath", label="Photo", sources=["upload", "clipboard"], height=280, elem_id="photo")
    if pictures := [str(path) for path in sorted(_EXAMPLES.glob("*.jpg"))]:
        gr.Examples(pictures, photo, cache_examples=False)
    with gr.Row():
        make = gr.Button("Make the mesh", variant="primary", elem_id="make")
        cancel = gr.Button("Cancel", elem_id="cancel")
    preset = gr.Dropdown(presets, value=presets[0], label="Preset", elem_id="preset")
    guess = gr.Checkbox(True, label="Estimate how high the camera stood")
    degrees = gr.Slider(-30, 90, 20, step=1, label="Elevation of the camera, degrees (if it is not estimated)")
    with gr.Accordion("Mend the cut-out", open=False):
        find = gr.Button("Find the object", elem_id="find")
        brush = gr.Brush(colors=[KEEP, REMOVE], default_color=KEEP, color_mode="fixed", default_size=20)
        editor = gr.ImageEditor(
            label="Green keeps, red removes", sources=[], transforms=(), brush=brush, layers=False, height=360
        )
        mask = gr.Image(type="filepath", label="Or your own mask, white on black", sources=["upload"], height=160)
    with gr.Accordion("More", open=False):
        seed = gr.Number(0, precision=0, minimum=0, maximum=999_999_999, label="Seed")
    return _Given(photo, make, cancel, preset, guess, degrees, find, editor, mask, seed)


def _shown() -> list[gr.components.Component]:
    """What a visitor sees of a job, in the order that `Page.make` yields."""
    return [
        gr.Markdown("Nothing is being made.", elem_id="status"),
        gr.HTML(elem_id="model"),
        gr.Gallery(label="Cut-out and imagined views", columns=2, height=260, object_fit="contain", elem_id="views"),
        gr.File(label="Files", file_count="multiple", interactive=False, elem_id="files"),
    ]


def page(jobs: JobQueue, offer: Offer) -> gr.Blocks:
    """The page as gradio has it."""
    seconds = max(1, int(jobs.limits.keep_minutes * 60))
    with gr.Blocks(title=_TITLE, analytics_enabled=False, delete_cache=(min(60, seconds), seconds)) as blocks:
        gr.Markdown(_INTRODUCTION)
        with gr.Row():
            with gr.Column(min_width=300):
                given = _given(list(offer.presets))
            with gr.Column(min_width=300):
                shown = _shown()
        _connect(Page(jobs, offer), given, shown)
    return blocks


def _connect(behind: Page, given: _Given, shown: list[gr.components.Component]) -> None:
    """Gives the buttons their functions. All may run at once: the queue of the workers is the one that counts."""
    job, found = gr.State(""), gr.State("")
    status = shown[0]
    ours = {"api_visibility": "private", "concurrency_limit": None, "show_progress": "hidden"}
    settings = [given.preset, given.guess, given.degrees, given.seed]
    given.make.click(behind.make, [given.photo, given.editor, found, given.mask, *settings], [job, *shown], **ours)
    given.find.click(behind.find_object, [given.photo], [given.editor, found, status], **ours)
    given.cancel.click(behind.cancel, [job], [status], **ours, queue=False)
    given.photo.change(lambda: (None, "", None), None, [given.editor, found, given.mask], **ours, queue=False)
