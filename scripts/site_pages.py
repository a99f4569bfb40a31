"""A hook of mkdocs: pages that lie outside docs/ join the site, and links between all pages lead to the right place."""

import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
OUTSIDE = {
    "README.md": "index.md",
    **{name: name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "NOTICE")},
    **{path.relative_to(ROOT).as_posix(): path.relative_to(ROOT).as_posix() for path in (ROOT / "bench").glob("*.md")},
    **{
        path.relative_to(ROOT).as_posix(): path.relative_to(ROOT).as_posix() for path in (ROOT / "bench").rglob("*.csv")
    },
}
"""Files by their place in the repository, and where they are on the site."""

_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages from outside."""
    for source, place in OUTSIDE.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links are written for the repository; here they lead to the same page of the site."""
    places = {place: source for source, place in OUTSIDE.items()}
    here = places.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    return _LINK.sub(lambda found: f"]({_on_site(found[1], here, page.file.src_uri)}{found[2] or ''})", markdown)


def _on_site(target: str, here: str, place: str) -> str:
    """From a link of a file in the repository to one between pages of the site."""
    wanted = _normal(PurePosixPath(here).parent / target)
    found = OUTSIDE.get(wanted, wanted.removeprefix("docs/"))
    up = "../" * (len(PurePosixPath(place).parts) - 1)
    return f"{up}{found}"


def _normal(path: PurePosixPath) -> str:
    """Without `..`."""
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)
