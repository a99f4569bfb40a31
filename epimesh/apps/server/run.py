"""Puts the server together: queue, API, page and guard, and runs it until it is stopped."""

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from epimesh.apps.server.api import Offer, add_api
from epimesh.apps.server.guard import Guard
from epimesh.apps.server.jobs import JobQueue
from epimesh.apps.server.limits import Limits
from epimesh.errors import MissingExtra

_LOCAL = ("127.0.0.1", "localhost", "[::1]", "::1")
_CONNECTIONS = 200  # at a time; more get 503


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Where and for whom.

    Args:
        host: address that is listened on.
        port: 0 takes any that is free.
        names: by which the server may be called; only needed where `host` is not this machine alone.
        logins: passwords by name; empty lets everybody in.
        workers: processes that make meshes.
        device: of the workers.
        page: whether there is a web page; without it there is the API alone.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    names: Sequence[str] = ()
    logins: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1
    device: str = "auto"
    page: bool = True


def application(jobs: JobQueue, offer: Offer, settings: ServerSettings) -> Any:
    """Everything that answers requests, as one ASGI application.

    Raises:
        MissingExtra: gradio is not installed.
    """
    try:
        import gradio
        from fastapi import FastAPI
        from starlette.middleware.trustedhost import TrustedHostMiddleware
    except ImportError as error:
        raise MissingExtra(
            f"`epimesh serve` needs gradio, which cannot be imported ({error}).\nInstall it: pip install 'epimesh[app]'"
        ) from error
    app = FastAPI(title="epimesh", docs_url=None, redoc_url=None, openapi_url=None)
    add_api(app, jobs, offer)
    if settings.page:
        from epimesh.apps.server.page import STYLE, page

        size = int(jobs.limits.megabytes * 1e6)
        app = gradio.mount_gradio_app(
            app,
            page(jobs, offer),
            path="/",
            show_error=True,
            max_file_size=size,
            ssr_mode=False,
            footer_links=[],
            enable_monitoring=False,
            css=STYLE,
        )
    if settings.host in _LOCAL or settings.names:  # else a page of another site could call us by a name of its own
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*_LOCAL, *settings.names])
    return Guard(app, jobs.limits, settings.logins)


def serve(settings: ServerSettings, limits: Limits, offer: Offer, say: Callable[[str], None]) -> None:
    """Serves until Ctrl-C or a signal. All files are removed at the end. `say` is told the address.

    Raises:
        MissingExtra: gradio is not installed.
        OSError: the port is taken.
    """
    root = Path(tempfile.mkdtemp(prefix="epimesh-serve-"))
    os.environ["GRADIO_TEMP_DIR"] = str(root / "page")  # where gradio keeps uploads
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn passes it on when it has ended; we have to tidy up
    jobs = JobQueue(root, limits, workers=settings.workers, device=settings.device)
    try:
        app = application(jobs, offer, settings)
        import uvicorn

        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_level="warning",
            limit_concurrency=_CONNECTIONS,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        server = uvicorn.Server(config)
        with config.bind_socket() as listening:
            address, port = listening.getsockname()[:2]
            say(f"http://{address}:{port}")
            server.run(sockets=[listening])
    finally:
        jobs.close()
