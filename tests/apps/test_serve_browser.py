"""The page in a real browser, at the size of a desk and of a phone; by keyboard alone; two visitors at once.

EPIMESH_SCREENSHOTS names a folder for pictures of every step.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio", reason="needs the extra: pip install 'epimesh[app]'")
from server_process import Server

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install playwright)")

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
# Software rendering, so that the mesh is drawn without a graphics card.
ARGUMENTS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
PATIENCE = 300_000  # milliseconds
SIZES = {"desk": (1280, 900), "phone": (390, 844)}
EXAMPLE = Path(__file__).parents[2] / "examples" / "bird.jpg"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("server"), "--per-minute", "1000")
    yield started
    started.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        try:
            found = driver.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, "--ignore-gpu-blocklist"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium: {str(error).splitlines()[0]}")
        yield found
        found.close()


def visit(browser: Any, server: Server, size: str = "desk") -> Any:
    """A new visitor on the page."""
    width, height = SIZES[size]
    page = browser.new_context(viewport={"width": width, "height": height}).new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(server.url)
    page.wait_for_selector("#make")
    return page


def give(page: Any, photo: Path) -> None:
    page.set_input_files("#photo input[type=file]", str(photo))
    page.wait_for_selector("#photo img")


def until(page: Any, words: str) -> None:
    page.wait_for_function(f"document.querySelector('#status').innerText.includes('{words}')")


def picture(page: Any, name: str) -> None:
    if folder := os.environ.get("EPIMESH_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


@pytest.mark.parametrize("size", list(SIZES))
def test_from_a_photo_to_a_mesh_that_turns_and_files(browser: Any, server: Server, size: str) -> None:
    page = visit(browser, server, size)
    give(page, EXAMPLE)
    page.click("#make")
    until(page, "Done")
    page.locator("#model iframe").scroll_into_view_if_needed()
    (frame,) = [one for one in page.frames if one.url.endswith("/view")]
    frame.wait_for_function("document.querySelector('model-viewer').loaded")
    first = frame.locator("model-viewer").screenshot()
    page.wait_for_timeout(3000)
    assert frame.locator("model-viewer").screenshot() != first
    assert "bird.glb" in page.inner_text("#files")
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= SIZES[size][0]
    picture(page, f"done-{size}")


def test_a_broken_file_is_told_on_the_page_and_the_next_photo_is_made(
    browser: Any, server: Server, tmp_path: Path
) -> None:
    page = visit(browser, server)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    page.set_input_files("#photo input[type=file]", str(broken))
    page.click("#make")
    page.wait_for_selector("[data-testid=toast-body]")
    picture(page, "broken")
    page.reload()
    page.wait_for_selector("#make")
    give(page, EXAMPLE)
    page.click("#make")
    until(page, "Done")


def test_two_visitors_wait_in_line_and_cancelling_one_makes_the_other(browser: Any, server: Server) -> None:
    pages = [visit(browser, server), visit(browser, server)]
    for page in pages:
        give(page, EXAMPLE)
        page.click("#preset input")
        page.get_by_role("option", name="slow").click()
        page.click("#make")
        until(page, "Making" if page is pages[0] else "place 1 in the queue")
    picture(pages[1], "queue")
    pages[0].click("#cancel")
    until(pages[0], "Cancelled")
    until(pages[1], "Making")
    pages[1].click("#cancel")
    until(pages[1], "Cancelled")


def test_the_keyboard_alone_is_enough(browser: Any, server: Server) -> None:
    page = visit(browser, server)
    give(page, EXAMPLE)
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "make":
            break
    assert page.evaluate("document.activeElement.id") == "make"
    page.keyboard.press("Enter")
    until(page, "Done")
