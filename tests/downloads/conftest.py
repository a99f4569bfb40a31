"""A loopback hub for every test, with empty caches beside it."""

import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from loopback import Handler, Hub

from epimesh.downloads import hub


@pytest.fixture
def loopback_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub of its own for every test, with empty caches beside it."""
    content = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": content}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    content.address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", content.address)
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    monkeypatch.setenv("EPIMESH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    hub.described.cache_clear()
    yield content
    content.released.set()
    server.shutdown()
    server.server_close()
