"""A headless browser for the pages that dreamgym makes, and a server for it."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
_SECONDS = 600  # for a script on a busy machine
OPTIONS = ("--no-sandbox", "--disable-dev-shm-usage")  # /dev/shm is small in a container


def find_browser() -> str:
    """The path of a browser of Chromium's family; the test is skipped where there is none."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip(f"no browser is installed; looked for {', '.join(_NAMES)}")
    return found


class _Handler(SimpleHTTPRequestHandler):
    """Serves files, and takes what a page posts."""

    def __init__(self, *arguments: Any, posted: queue.Queue[bytes], **options: Any) -> None:
        self._posted = posted
        super().__init__(*arguments, **options)

    def do_POST(self) -> None:
        self._posted.put(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, queue.Queue[bytes]]]:
    """The folder at an address of this machine, and what is posted there."""
    posted: queue.Queue[bytes] = queue.Queue()
    handler = partial(_Handler, directory=str(folder), posted=posted)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", posted
        finally:
            server.shutdown()
            thread.join()


def run_script(folder: Path, script: str, profile: Path) -> Any:
    """What the function body ``script``, of a module in the folder, returns in a browser, as JSON values.

    Args:
        folder: holds the modules that it imports.
        script: the body of an async function.
        profile: for the browser's files.
    """
    page = f"""<!doctype html><script type=module>
    const run = async () => {{ {script} }};
    const answer = await run().then((value) => ({{ value }}), (error) => ({{ error: String(error.stack) }}));
    await fetch("/", {{ method: "POST", body: JSON.stringify(answer) }});
    </script>"""
    (folder / "script.html").write_text(page, encoding="utf-8")
    options = ("--headless", *OPTIONS, "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}")
    with served(folder) as (address, posted):
        command = [find_browser(), *options, f"{address}/script.html"]
        quiet = subprocess.DEVNULL
        with subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True) as browser:
            try:
                answer = json.loads(posted.get(timeout=_SECONDS))
            finally:
                os.killpg(browser.pid, signal.SIGKILL)  # the command is a shell script, and a browser many processes
    assert "error" not in answer, answer["error"]
    return answer["value"]
