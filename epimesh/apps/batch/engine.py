"""A batch from its photos to its summary, whoever the workers are."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from epimesh.apps.batch.manifest import Manifest, Outcome
from epimesh.apps.batch.photos import Item
from epimesh.apps.batch.task import Made, Task
from epimesh.errors import EpimeshError


@runtime_checkable
class Workers(Protocol):
    """Those who make tasks."""

    def each(self, tasks: Sequence[Task]) -> Iterator[Made]:
        """Makes all of them and yields how each ended, as they end."""
        ...


@dataclass(frozen=True)
class Summary:
    """What has become of a batch.

    Args:
        made: how many photos were made now.
        kept: how many were there already.
        failed: those that were not made, with the reason.
    """

    made: int
    kept: int
    failed: list[Outcome]


def run_batch(
    items: Sequence[Item],
    task_of: Callable[[Item], Task],
    workers: Callable[[], Workers],
    manifest: Manifest,
    key: str,
    tell: Callable[[Outcome], None],
) -> Summary:
    """Makes every photo that the manifest does not say is done.

    Args:
        items: all photos.
        task_of: what to do about one.
        workers: makes those who do it; called only if there is something to do.
        manifest: notes every outcome at once, so a stopped batch goes on.
        key: of the settings.
        tell: hears every outcome.

    Raises:
        BadInput: the manifest cannot be written.
        EpimeshError: there are no workers to be had.
    """
    rest = [item for item in items if not manifest.is_done(item.name, item.source, key)]
    made, failed = 0, []
    for one in workers().each([task_of(item) for item in rest]) if rest else ():
        outcome = _outcome(one, key)
        manifest.add(outcome)
        tell(outcome)
        made += outcome.state == "done"
        failed += [outcome] if outcome.state == "failed" else []
    return Summary(made, len(items) - len(rest), failed)


def _outcome(made: Made, key: str) -> Outcome:
    common: dict[str, Any] = {"key": key, "seconds": round(made.seconds, 2), "tries": made.tries, "worker": made.worker}
    name, source = made.task.item.name, made.task.item.source
    if isinstance(made.result, EpimeshError):
        message = " ".join(str(made.result).split())
        return Outcome(name=name, source=source, state="failed", message=message, **common)
    return Outcome(name=name, source=source, state="done", photo_sha256=made.result["photo_sha256"], **common)
