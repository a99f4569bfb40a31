"""The queue before the workers: photos wait in line, are made one after the other, and are forgotten after a while."""

import contextlib
import shutil
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from secrets import token_urlsafe
from threading import Condition, Thread

from epimesh.apps.server.job import Job, State, end, plain_name, without_paths
from epimesh.apps.server.limits import Full, Limits, NotHere, TooMany
from epimesh.apps.server.rate import Rate
from epimesh.apps.work.order import Order, WorkerLost
from epimesh.apps.work.process import WorkerProcess
from epimesh.errors import BadInput, EpimeshError
from epimesh.files.atomic import atomic_file
from epimesh.files.images import check_picture

_PAUSE = 1.0  # seconds between two looks for results that are too old


class JobQueue:
    """Takes photos and makes them, `workers` at a time. All methods may be called from any thread."""

    def __init__(self, root: Path, limits: Limits, *, workers: int = 1, device: str = "auto") -> None:
        """`root` is a folder for nothing but this queue."""
        self.limits = limits
        self._root = root
        self._device = device
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[Job] = deque()
        self._changed = Condition()
        self._rate = Rate(limits.per_minute)
        self._closed = False
        self._at_work: dict[Job, WorkerProcess] = {}
        self._threads = [Thread(target=self._work, daemon=True) for _ in range(workers)]
        self._threads.append(Thread(target=self._forget, daemon=True))
        for thread in self._threads:
            thread.start()

    def submit(
        self,
        photo: bytes,
        *,
        name: str,
        owner: str,
        settings: Sequence[str],
        mask: bytes | None = None,
        seed: int = 0,
        formats: Sequence[str] = ("glb",),
        mask_only: bool = False,
    ) -> Job:
        """Puts a photo at the end of the line.

        Args:
            photo, mask: contents of picture files.
            name: of the photo; only plain letters of it are used, to name the results.
            owner: the address it came from.
            settings: of the pipeline, made by the server, never by a stranger.
            seed, formats, mask_only: as of `Order`.

        Raises:
            BadInput: not a picture, or too large.
            Full, TooMany: not now.
        """
        self._check_room(owner)
        key = token_urlsafe(12)
        folder = self._root / key
        out = folder / (plain_name(name) if not mask_only else "mask")
        out.mkdir(parents=True)
        try:
            path = _written(photo, folder / "photo", self.limits.megapixels)
            if mask is not None:
                settings = [*settings, f"--read.mask={_written(mask, folder / 'mask.png', self.limits.megapixels)}"]
            order = Order(
                photo=path,
                out=out,
                settings=tuple(settings),
                seed=seed,
                device=self._device,
                formats=tuple(formats),
                mask_only=mask_only,
            )
            return self._enqueued(Job(key, order, folder))
        except (EpimeshError, OSError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, EpimeshError):
                raise type(error)(without_paths(str(error), folder)) from None
            raise Full("The disk of the server is full.\nTry again later.") from error

    def find(self, key: str) -> Job:
        """The job of that id.

        Raises:
            NotHere: there is none, or it has been forgotten.
        """
        job = self._jobs.get(key)
        if job is None:
            raise NotHere(f"There is no such job. Results are kept for {self.limits.keep_minutes:g} minutes.")
        return job

    def place(self, job: Job) -> int:
        """How many photos are made before this one; 0 if it is being made."""
        with self._changed:
            return self._waiting.index(job) + 1 if job in self._waiting else 0

    def counts(self) -> tuple[int, int]:
        """How many wait, and how many are being made."""
        with self._changed:
            return len(self._waiting), len(self._at_work)

    def cancel(self, job: Job) -> None:
        """Takes a photo out of the line, or stops the worker that makes it."""
        with self._changed:
            if job.is_over:
                return
            if job in self._waiting:
                self._waiting.remove(job)
            end(job, "cancelled")
            worker = self._at_work.get(job)
        if worker is not None:
            worker.close()

    def close(self) -> None:
        """Stops everything and removes all files."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            workers = list(self._at_work.values())
            self._changed.notify_all()
        for worker in workers:
            worker.close()
        for thread in self._threads:
            thread.join(_PAUSE * 10)
        shutil.rmtree(self._root, ignore_errors=True)

    def _check_room(self, owner: str) -> None:
        if len(self._waiting) >= self.limits.waiting:
            raise Full(f"{self.limits.waiting} photos are waiting already.\nTry again in a few minutes.")
        if not self._rate.allows(owner):
            raise TooMany(f"More than {self.limits.per_minute} photos within a minute.\nTry again in a minute.")

    def _enqueued(self, job: Job) -> Job:
        with self._changed:
            if len(self._waiting) >= self.limits.waiting:
                raise Full(f"{self.limits.waiting} photos are waiting already.\nTry again in a few minutes.")
            self._jobs[job.id] = job
            self._waiting.append(job)
            self._changed.notify()
        return job

    def _work(self) -> None:
        worker = WorkerProcess()
        while (job := self._next()) is not None:
            if not worker.is_alive():
                worker = WorkerProcess()
            worker = self._made(job, worker)
        worker.close()

    def _next(self) -> Job | None:
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            job = self._waiting.popleft()
            job.state = "running"
            return job

    def _made(self, job: Job, worker: WorkerProcess) -> WorkerProcess:
        """Makes a job. One whose worker is lost is tried once more, with a new worker, which is handed back."""
        for last in (False, True):
            with self._changed:
                self._at_work[job] = worker
            try:
                if not job.is_over:
                    worker.make(job.order, job.hear, self.limits.seconds)
                    _forget_paths(job.order.out / "run.json")
                self._ended(job, "done")
                return worker
            except WorkerLost as error:
                if last:
                    self._ended(job, "failed", error)
                if last or job.is_over or self._closed:
                    return worker
                worker = WorkerProcess()
            except EpimeshError as error:
                self._ended(job, "failed", error)
                return worker
            finally:
                with self._changed:
                    del self._at_work[job]
        return worker

    def _ended(self, job: Job, state: State, error: EpimeshError | None = None) -> None:
        with self._changed:
            if not job.is_over:
                job.message = without_paths(str(error), job.folder) if error else ""
                end(job, state)

    def _forget(self) -> None:
        """Removes results that were kept long enough."""
        while not self._closed:
            time.sleep(_PAUSE)
            oldest = time.monotonic() - self.limits.keep_minutes * 60
            for job in list(self._jobs.values()):
                if job.ended is not None and job.ended < oldest and job not in self._at_work:
                    shutil.rmtree(job.folder, ignore_errors=True)
                    with contextlib.suppress(KeyError):
                        del self._jobs[job.id]


def _forget_paths(report: Path) -> None:
    """What visitors read of their result names no folder of this machine."""
    if report.is_file():
        text = report.read_text(encoding="utf-8").replace(f"{report.parent}/", "")
        with atomic_file(report) as unfinished:
            unfinished.write_text(text, encoding="utf-8")


def _written(content: bytes, path: Path, megapixels: float) -> Path:
    if not content:
        raise BadInput("The photo is empty (0 bytes).\nChoose a picture.")
    path.write_bytes(content)
    check_picture(path, megapixels)
    return path
