"""Which photos a batch is about: files, folders, lists of paths, and places that fsspec can open."""

import csv
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epimesh.errors import BadInput, MissingExtra

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".gif", ".bmp", ".tif", ".tiff")
_COLUMNS = ("photo", "path", "image", "file")  # what lists call the column of paths; the first of these that is there
_LISTS = (".csv", ".parquet")


@dataclass(frozen=True)
class Item:
    """One photo of a batch.

    Args:
        source: path, or address such as s3://bucket/chair.jpg.
        name: of its result: a plain file name, different from all others.
    """

    source: str
    name: str


def items_of(sources: Sequence[str]) -> list[Item]:
    """All photos that files, folders, CSV or Parquet lists, and addresses name; each source once, in their order.

    Raises:
        BadInput: a source that is not there, a list without a column of paths, no photos at all.
        MissingExtra: a Parquet list or an address whose package is not installed.
    """
    found = list(dict.fromkeys(one for source in sources for one in _in_source(source)))
    if not found:
        raise BadInput(f"No photos in {', '.join(sources)[:300]}.\nExpected files named {', '.join(SUFFIXES)}.")
    names: dict[str, str] = {}
    for source in found:
        plain = re.sub(r"[^\w.-]+", "_", source.replace("\\", "/").rpartition("/")[2].rpartition(".")[0])[:80].strip(
            "._"
        )
        name = plain or "photo"
        if name in names:  # the same name in another folder: a number that stays the same in every run
            name = f"{name}-{hashlib.sha256(source.encode()).hexdigest()[:8]}"
        names[name] = source
    return [Item(source, name) for name, source in names.items()]


def is_address(source: str) -> bool:
    """Whether it is for fsspec: s3://, gs://, memory:// and the like."""
    return "://" in source


def _in_source(source: str) -> Iterator[str]:
    if source.lower().endswith(_LISTS):
        yield from _in_list(source)
    elif is_address(source):
        yield from _at_address(source)
    else:
        path = Path(source).expanduser()
        if path.is_dir():
            yield from (str(one) for one in sorted(path.rglob("*")) if one.suffix.lower() in SUFFIXES)
        elif path.exists():
            yield str(path)
        else:
            raise BadInput(f"There is no {source}.\nExpected photos, folders, or a CSV or Parquet list of paths.")


def _at_address(source: str) -> Iterator[str]:
    fs, path = filesystem(source)
    if not fs.isdir(path):
        yield source
        return
    scheme = source.partition("://")[0]
    for one in sorted(fs.find(path)):
        if one.lower().endswith(SUFFIXES):
            yield f"{scheme}://{one.lstrip('/') if scheme != 'file' else one}"


def filesystem(source: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it.

    Raises:
        BadInput: the address means nothing to fsspec.
        MissingExtra: the package for it is not installed (s3fs, gcsfs, ...).
    """
    import fsspec

    try:
        return fsspec.core.url_to_fs(source)
    except ImportError as error:
        raise MissingExtra(f"{source[:200]} needs a package that is not installed.\n{error}") from error
    except ValueError as error:
        raise BadInput(
            f"{source[:200]} is no address that can be opened ({error}).\nExpected s3://, gs://, ..."
        ) from error


def _in_list(source: str) -> list[str]:
    rows = _parquet(source) if source.lower().endswith(".parquet") else _csv(source)
    here = Path(source).expanduser().parent
    return [one if is_address(one) or Path(one).is_absolute() else str(here / one) for one in rows]


def _csv(source: str) -> list[str]:
    try:
        with Path(source).expanduser().open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            column = _column(source, reader.fieldnames or [])
            return [row[column].strip() for row in reader if row[column] and row[column].strip()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{source} cannot be read ({error}).\nExpected a CSV file with a column photo.") from error


def _parquet(source: str) -> list[str]:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise MissingExtra(f"{source} is a Parquet list.\nInstall what reads it: pip install pyarrow") from error
    try:
        column = _column(source, parquet.read_schema(source).names)
        return [str(one) for one in parquet.read_table(source, columns=[column])[column].to_pylist() if one]
    except (OSError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{source} cannot be read ({error}).\nExpected a Parquet file with a column photo.") from error


def _column(source: str, names: Sequence[str]) -> str:
    found = next((name for name in _COLUMNS if name in names), None)
    if found is None:
        raise BadInput(f"{source} has the columns {', '.join(names)[:200]}.\nExpected one of: {', '.join(_COLUMNS)}.")
    return found
