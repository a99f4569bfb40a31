"""Makes one order after the other; a pipeline and its models stay for later orders of the same settings."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
from PIL import Image

from epimesh.apps.work.order import Event, Order, Progress, Report, Said
from epimesh.errors import BadInput
from epimesh.files.atomic import output_file
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.pipeline.parser import pipeline_from
from epimesh.pipeline.session import Session
from epimesh.runtime import Runtime, Silent
from epimesh.stages import CutOut

T = TypeVar("T")
_PAUSE = 0.2  # seconds between two reports of a loop


class Maker:
    """Makes one order after the other. Only the latest pipeline stays, as its models may fill the memory."""

    def __init__(self) -> None:
        self._pipeline: ImageTo3D | None = None
        self._settings: tuple[str, ...] = ()

    def make(self, order: Order, hear: Callable[[Event], None]) -> Report:
        """The whole way of one photo. Returns what is written to `run.json`; of a mask, nothing.

        Raises:
            EpimeshError: as `epimesh run` does.
        """
        pipeline = self._of(order.settings)
        runtime = Runtime(order.device, order.seed, _Heard(hear), keep_models=True)
        if order.mask_only:
            _write_mask(pipeline, order, runtime)
            return {}
        session = Session(order.out, runtime, formats=order.formats, policy=order.policy)
        session.check(None)
        return session.photo_to_mesh(pipeline, order.photo, say=lambda line: hear(Said(line)))

    def _of(self, settings: tuple[str, ...]) -> ImageTo3D:
        if self._pipeline is None or settings != self._settings:
            if self._pipeline is not None:
                self._pipeline.release()
            self._pipeline, self._settings = pipeline_from(ImageTo3D, settings), settings
        return self._pipeline


def _write_mask(pipeline: ImageTo3D, order: Order, runtime: Runtime) -> None:
    if not isinstance(pipeline.read, CutOut):
        raise BadInput(f"{type(pipeline.read).__name__} finds objects in a way that cannot be corrected here.")
    coverage = pipeline.read.coverage(order.photo, runtime)
    with output_file(order.out / "mask.png") as path:
        Image.fromarray((coverage.clamp(0, 1) * 255).round().numpy().astype(np.uint8)).save(path, format="PNG")


class _Heard(Silent):
    """Passes progress on, but not every step of a quick loop."""

    def __init__(self, hear: Callable[[Event], None]) -> None:
        super().__init__()
        self._hear = hear

    def track(self, items: Iterable[T], description: str, total: int) -> Iterator[T]:
        """Yields `items` unchanged."""
        told = 0.0
        for done, item in enumerate(items):
            if time.monotonic() - told > _PAUSE:
                told = time.monotonic()
                self._hear(Progress(description, done, total))
            yield item
