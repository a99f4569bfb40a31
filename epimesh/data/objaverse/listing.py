"""Which objects the data set has, read from its published lists."""

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epimesh.data.objaverse.annotation import Annotation, read_annotation
from epimesh.data.objaverse.choice import Choice, order_of
from epimesh.data.objaverse.download import download
from epimesh.errors import BadInput

PUBLISHED = "https://huggingface.co/datasets/allenai/objaverse/resolve/main"
_PATH = re.compile(r"glbs/(\d{3}-\d{3})/([0-9a-f]{32})\.glb")


@dataclass(frozen=True)
class Listing:
    """The lists of the data set, downloaded once.

    Args:
        url: where the data set is published, or a copy of it with the same folders.
        folder: where its lists are kept.
    """

    url: str
    folder: Path

    def objects(self) -> dict[str, str]:
        """Which objects there are: uid to the number of the part (`000-023`) that holds it.

        Raises:
            BadInput: the list cannot be had, or is not one.
        """
        parts = {}
        for uid, path in self._read("object-paths.json.gz").items():
            found = _PATH.fullmatch(str(path))
            if found is None or found[2] != uid:
                raise BadInput(
                    f"The list of objects at {self.url} has the path {path} for {uid}.\n"
                    "Expected glbs/PART/UID.glb: use the published data set or a copy of it."
                )
            parts[uid] = found[1]
        return parts

    def labelled(self) -> set[str]:
        """The objects that people gave a category of LVIS, about 46,000."""
        return {uid for uids in self._read("lvis-annotations.json.gz").values() for uid in uids}

    def annotations(self, part: str) -> Mapping[str, dict[str, Any]]:
        """What is said about the objects of one part, by uid."""
        return self._read(f"metadata/{part}.json.gz")

    def address(self, part: str, uid: str) -> str:
        """Where the file of an object is."""
        return f"{self.url}/glbs/{part}/{uid}.glb"

    def _read(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        download(f"{self.url}/{name}", path)
        try:
            with gzip.open(path, "rt", encoding="utf-8") as file:
                content = json.load(file)
            if not isinstance(content, dict):
                raise ValueError(f"a {type(content).__name__} instead of an object")
        except (OSError, EOFError, ValueError) as error:
            path.unlink()
            raise BadInput(
                f"{name} of {self.url} is not a list of objects ({error}).\n"
                "It was removed here: run the same command again, or use the published data set."
            ) from error
        return content


def chosen(
    listing: Listing, choice: Choice, parts: Mapping[str, str], left_out: "Counter[str]"
) -> Iterator[tuple[str, Annotation]]:
    """The wanted objects with the part that holds each, always in the same order, part after part.

    Taking more of them adds to the ones before. The list of a part is only read when its turn comes.

    Args:
        listing: of the data set.
        choice: what they have to be like.
        parts: the objects to choose from, uid to part.
        left_out: counts the reasons against the others.
    """
    members: dict[str, list[str]] = {}
    for uid, part in parts.items():
        members.setdefault(part, []).append(uid)
    for part in sorted(members):
        entries = listing.annotations(part)
        for uid in sorted(members[part], key=order_of):
            if uid not in entries:
                left_out["no annotation"] += 1
                continue
            annotation = read_annotation(uid, entries[uid])
            reason = choice.reason_against(annotation)
            if reason is None:
                yield part, annotation
            else:
                left_out[reason] += 1


def named(parts: Mapping[str, str], uids: set[str]) -> dict[str, str]:
    """Only these of the objects.

    Raises:
        BadInput: some of them are not in the data set.
    """
    unknown = sorted(uids - set(parts))
    if unknown:
        raise BadInput(
            f"{len(unknown)} of {len(uids)} uids are not in the data set, the first is {unknown[0]}.\n"
            "Expected uids of Objaverse 1.0: correct the list."
        )
    return {uid: part for uid, part in parts.items() if uid in uids}


def read_uids(path: Path) -> set[str]:
    """The uids in a file, one a line; empty lines are passed over.

    Raises:
        BadInput: there is no such file, or a line is no uid.
    """
    try:
        lines = [line.strip().removesuffix(".glb") for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read ({error}).\nExpected a text file with one uid a line.") from error
    uids = {line for line in lines if line}
    wrong = [line for line in lines if line and not re.fullmatch(r"[0-9a-f]{32}", line)]
    if wrong or not uids:
        found = f"the line '{wrong[0][:60]}'" if wrong else "no line"
        raise BadInput(f"{path} has {found}.\nExpected uids of Objaverse, 32 hexadecimal digits, one a line.")
    return uids
