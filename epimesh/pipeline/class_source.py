"""What settings a stage or a training has, read from its source: importing it takes seconds, reading it nothing.

Only classes of this package are read. What cannot be told from the source is left to the parser proper.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from epimesh.pipeline.renamed import CLASSES, renamed

PACKAGE = Path(__file__).parent.parent
STAGE_PACKAGES = ("epimesh.stages", "epimesh.decoders", "epimesh.reconstruction")
"""Packages whose stages may be named without their module."""


@dataclass(frozen=True)
class Setting:
    """One setting as its source has it.

    Args:
        name: of the field or parameter.
        kind: its annotation, e.g. "int | None".
        default: the expression behind it; None if the setting has to be given.
        help: what `Args:` says of it.
    """

    name: str
    kind: str
    default: str | None
    help: str


@dataclass(frozen=True)
class ClassSource:
    """A class that was read, not imported.

    Args:
        name: of the class.
        summary: first paragraph of its docstring.
        settings: by name, in the order of the source; those of bases first.
    """

    name: str
    summary: str
    settings: dict[str, Setting]


@cache
def stage_source(name: str) -> ClassSource | None:
    """The stage that a preset or a command line names; None if it is not one of this package."""
    path = renamed(name, CLASSES)
    if "." in path:
        return class_source(path)
    found = (class_source(f"{package}.{path}") for package in STAGE_PACKAGES)
    return next((stage for stage in found if stage is not None), None)


def stage_names() -> list[str]:
    """The stages that may be named without their module."""
    return sorted(name for package in STAGE_PACKAGES for name in _imported_names(_tree(package)))


@cache
def class_source(class_path: str) -> ClassSource | None:
    """The class that a module of this package defines or imports; None if there is none."""
    module, _, name = class_path.rpartition(".")
    tree = _tree(module)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _source_of(node, module)
    imported = _imported_names(tree).get(name)
    return None if imported is None else class_source(f"{imported}.{name}")


def _source_of(node: ast.ClassDef, module: str) -> ClassSource:
    text = ast.get_docstring(node) or ""
    settings: dict[str, Setting] = {}
    for base in node.bases:
        known = class_source(f"{module}.{base.id}") if isinstance(base, ast.Name) else None
        settings.update(known.settings if known else {})
    helps = dict(_helps(text))
    initialiser = next((one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"), None)
    own = _fields(node) if initialiser is None else _parameters(initialiser)
    settings = settings if initialiser is None else {}
    settings.update({name: Setting(name, kind, default, helps.get(name, "")) for name, kind, default in own})
    return ClassSource(node.name, " ".join(text.partition("\n\n")[0].split()), settings)


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, str, str | None]]:
    """Name, annotation and default of the fields of a dataclass."""
    for field in node.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            kind = ast.unparse(field.annotation)
            if not kind.startswith("ClassVar"):
                yield field.target.id, kind, None if field.value is None else ast.unparse(field.value)


def _parameters(function: ast.FunctionDef) -> Iterator[tuple[str, str, str | None]]:
    """Name, annotation and default of the parameters of a constructor."""
    positional = function.args.args[1:]
    defaults = [None] * (len(positional) - len(function.args.defaults)) + function.args.defaults
    pairs = [
        *zip(positional, defaults, strict=True),
        *zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True),
    ]
    for parameter, default in pairs:
        kind = "" if parameter.annotation is None else ast.unparse(parameter.annotation)
        yield parameter.arg, kind, None if default is None else ast.unparse(default)


def _helps(docstring: str) -> Iterator[tuple[str, str]]:
    """The entries of `Args:` in a docstring, as this package writes them."""
    entry: list[str] = []
    for line in [*docstring.partition("Args:\n")[2].splitlines(), ""]:
        is_first = line.startswith("    ") and not line.startswith("     ")
        if entry and (is_first or not line.strip()):
            name, _, words = " ".join(entry).partition(": ")
            yield name, words
            entry = []
        if not line.strip():
            return
        entry.append(line.strip())


@cache
def _tree(module: str) -> ast.Module:
    """The syntax tree of a module of this package; an empty one of all others."""
    root, *parts = module.split(".")
    path = PACKAGE.joinpath(*parts)
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = file.read_text(encoding="utf-8") if root == "epimesh" and parts and file.is_file() else ""
    return ast.parse(text)


def _imported_names(tree: ast.Module) -> dict[str, str]:
    """Names that a module imports from this package, with the module each comes from."""
    return {
        alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("epimesh.")
        for alias in node.names
    }
