"""What has become of every photo of a batch, in one file that grows line by line, so that a stopped batch goes on."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from epimesh.errors import BadInput
from epimesh.pipeline.fingerprint import fingerprint

NAME = "manifest.jsonl"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What has become of one photo.

    Args:
        name: of its result, a folder beside the manifest.
        source: where it came from.
        key: of the settings; a batch with others makes it again.
        state: how it ended.
        message: why it failed.
        seconds: of the last try.
        tries: how often it was tried.
        worker: which one made it.
        photo_sha256: of the photo.
    """

    name: str
    source: str
    key: str
    state: Literal["done", "failed"]
    message: str = ""
    seconds: float = 0.0
    tries: int = 1
    worker: str = ""
    photo_sha256: str = ""


class Manifest:
    """The file of outcomes. Each is one line, written at once; the last line of a name counts."""

    def __init__(self, folder: Path) -> None:
        """Reads what is there; a last line that was cut off is left out.

        Raises:
            BadInput: the folder cannot be made, or the file is not a manifest.
        """
        self._path = folder / NAME
        self.outcomes: dict[str, Outcome] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            text = self._path.read_text(encoding="utf-8") if self._path.is_file() else ""
            whole = text[: text.rfind("\n") + 1]
            if whole != text:
                self._path.write_text(whole, encoding="utf-8")
        except OSError as error:
            raise BadInput(f"{folder} cannot be used ({error.strerror or error}).\nChoose another --out.") from error
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                outcome = Outcome(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise BadInput(f"{self._path}, line {number}, is not of a batch.\nChoose another --out.") from error
            self.outcomes[outcome.name] = outcome

    def is_done(self, name: str, source: str, key: str) -> bool:
        """Whether a result is there that was made of this source with these settings."""
        found = self.outcomes.get(name)
        return found is not None and (found.source, found.key, found.state) == (source, key, "done")

    def add(self, outcome: Outcome) -> None:
        """Notes an outcome.

        Raises:
            BadInput: the disk is full.
        """
        self.outcomes[outcome.name] = outcome
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(outcome)) + "\n")
        except OSError as error:
            raise BadInput(f"{self._path} cannot be written ({error.strerror or error}).\nFree some space.") from error


def key_of(settings: str, seed: int, formats: Sequence[str]) -> str:
    """Short for the settings of a batch."""
    return fingerprint(settings, seed, list(formats))[:16]
