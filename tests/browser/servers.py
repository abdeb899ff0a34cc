"""Jupyter servers for tests, each with folders of its own, and notebooks to open in them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
START_SECONDS = 120
"""How long a server may take on a busy machine."""


def write_notebook(path: Path, *cells: str) -> Path:
    """A notebook of code cells."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(notebook, path)
    return path


@contextmanager
def jupyter_lab(folder: Path) -> Iterator[str]:
    """JupyterLab on a folder; gives its address."""
    port = _free_port()
    _settle(folder.parent / "settings")
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"),
        *("--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0"),
        *("--IdentityProvider.token=", "--ServerApp.password="),
        f"--ServerApp.root_dir={folder}",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        f"--LabApp.user_settings_dir={folder.parent / 'settings'}",
        f"--LabApp.workspaces_dir={folder.parent / 'workspaces'}",
    ]
    with _server(command, folder, f"http://127.0.0.1:{port}", "/api/status") as address:
        yield address


def _settle(settings: Path) -> None:
    """Answer beforehand what JupyterLab asks a newcomer."""
    file = settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    file.parent.mkdir(parents=True)
    file.write_text('{"fetchNews": "false", "checkForUpdates": false}')


@contextmanager
def voila(notebook: Path) -> Iterator[str]:
    """Voila on one notebook; gives its address."""
    port = _free_port()
    command = [
        *(sys.executable, "-m", "voila", str(notebook), "--no-browser", f"--port={port}"),
        *("--Voila.ip=127.0.0.1", "--show_tracebacks=True"),
    ]
    address = f"http://127.0.0.1:{port}"
    with _server(command, notebook.parent, address, "/voila/static/voila.js") as address:
        yield address


@contextmanager
def _server(command: list[str], folder: Path, address: str, probe: str) -> Iterator[str]:
    """Run a server with config folders of its own until the block ends."""
    home = folder.parent
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "OMP_WAIT_POLICY": "PASSIVE",
        "OMP_NUM_THREADS": "1",
    }
    log = home / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait_for(process, address + probe, log)
        yield address
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()


def _wait_for(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Until the server answers: ask again as soon as it refused."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
    pytest.fail(f"The server did not start: {log.read_text()[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


RUN_ALL = """async () => {
  const panel = jupyterapp.shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  const kernel = panel.sessionContext.session.kernel;
  await kernel.info;
  window.unanswered = new Set();
  kernel.anyMessage.connect((_, {msg, direction}) => {
    if (direction === 'send' && msg.channel === 'shell') unanswered.add(msg.header.msg_id);
    if (msg.header.msg_type === 'status' && msg.content.execution_state === 'idle')
      unanswered.delete(msg.parent_header.msg_id);
  });
  return jupyterapp.commands.execute('notebook:run-all-cells');
}"""


def open_notebook(page: Page, address: str, name: str) -> None:
    """Open a notebook in JupyterLab and run all its cells; fail where one of them fails."""
    page.goto(f"{address}/lab/tree/{name}?reset", wait_until="domcontentloaded")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    ran = page.evaluate(RUN_ALL)
    assert ran, f"a cell failed: {page.locator('.jp-OutputArea-output').all_inner_texts()[-1:]}"
