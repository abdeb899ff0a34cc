"""The command: nothing of the user's is lost when chapters are copied; the doctor is honest."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

import steerbench
from steerbench.cli import app, doctor, lab
from steerbench.errors import FileError

run = CliRunner().invoke


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "solutions").mkdir(parents=True)
    (folder / "00_first.ipynb").write_text("first, version 1")
    (folder / "01_second.ipynb").write_text("second, version 1")
    (folder / "solutions" / "00_first.ipynb").write_text("answer")
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*.ipynb")
        if path.is_file()
    }


def test_everything_is_copied_once(source, tmp_path):
    target = tmp_path / "made" / "here"
    assert len(lab.copy_chapters(source, target)) == 3
    assert contents(target) == contents(source)
    assert lab.copy_chapters(source, target) == []


def test_teachers_may_leave_the_solutions_out(source, tmp_path):
    lab.copy_chapters(source, tmp_path / "course", solutions=False)
    assert set(contents(tmp_path / "course")) == {"00_first.ipynb", "01_second.ipynb"}


def test_an_untouched_chapter_follows_updates(source, tmp_path):
    target = tmp_path / "course"
    lab.copy_chapters(source, target)
    (source / "00_first.ipynb").write_text("first, version 2")
    assert lab.copy_chapters(source, target) == [str(target / "00_first.ipynb")]
    assert contents(target) == contents(source)


def test_an_edited_chapter_stays_and_the_newer_one_is_put_beside_it(source, tmp_path):
    target = tmp_path / "course"
    lab.copy_chapters(source, target)
    (target / "00_first.ipynb").write_text("mine")
    assert lab.copy_chapters(source, target) == []
    (source / "00_first.ipynb").write_text("first, version 2")
    (said,) = lab.copy_chapters(source, target)
    assert "00_first.new.ipynb" in said
    assert "which you edited" in said
    found = contents(target)
    assert found["00_first.ipynb"] == "mine"
    assert found["00_first.new.ipynb"] == "first, version 2"
    assert lab.copy_chapters(source, target) == []


def test_an_edited_newer_chapter_stays_too(source, tmp_path):
    target = tmp_path / "course"
    lab.copy_chapters(source, target)
    (target / "00_first.ipynb").write_text("mine")
    (source / "00_first.ipynb").write_text("first, version 2")
    lab.copy_chapters(source, target)
    (target / "00_first.new.ipynb").write_text("mine again")
    (source / "00_first.ipynb").write_text("first, version 3")
    lab.copy_chapters(source, target)
    found = contents(target)
    assert found["00_first.ipynb"] == "mine"
    assert found["00_first.new.ipynb"] == "mine again"
    assert found["00_first.new2.ipynb"] == "first, version 3"


@pytest.mark.parametrize("manifest", ["", "{", "[]", '{"chapters": 3}'])
def test_without_its_manifest_everything_found_is_the_users(source, tmp_path, manifest):
    target = tmp_path / "course"
    lab.copy_chapters(source, target)
    (target / lab.MANIFEST).write_text(manifest)
    (source / "00_first.ipynb").write_text("first, version 2")
    lab.copy_chapters(source, target)
    assert contents(target)["00_first.ipynb"] == "first, version 1"
    assert contents(target)["00_first.new.ipynb"] == "first, version 2"
    assert json.loads((target / lab.MANIFEST).read_text())["chapters"]


def test_a_file_in_the_way_is_an_error_that_says_what_to_do(source, tmp_path):
    (tmp_path / "course").write_text("not a folder")
    with pytest.raises(FileError, match="steerbench lab DIR"):
        lab.copy_chapters(source, tmp_path / "course")


def test_the_real_chapters_are_found():
    assert (lab.chapters() / "00_quickstart.ipynb").is_file()


def test_the_command_line_opens_the_first_chapter(source):
    line = lab.command(source, ["--debug"], browser=False, port=9000)
    assert "--LabApp.default_url=/lab/tree/00_first.ipynb" in line
    assert f"--ServerApp.root_dir={source}" in line
    assert {"--no-browser", "--ServerApp.port=9000", "--debug"} <= set(line)
    assert "--no-browser" not in lab.command(source, [], browser=True, port=9000)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_lab_serves_the_first_chapter(tmp_path):
    port = free_port()
    url = f"http://127.0.0.1:{port}/api/contents/00_quickstart.ipynb?content=0&token=secret"
    program = "from steerbench.cli import main; main()"
    server = subprocess.Popen(
        [
            *(sys.executable, "-c", program, "lab", str(tmp_path / "course")),
            *("--no-browser", f"--port={port}", "--IdentityProvider.token=secret"),
        ],
        env=os.environ
        | {"JUPYTER_CONFIG_DIR": str(tmp_path / "config"), "PYTHONPATH": root_of_package()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        found = answer(url, server, seconds=120)
    finally:
        server.send_signal(signal.SIGTERM)
        output = server.communicate(timeout=60)[0].decode()
    assert found is not None, output
    assert found["type"] == "notebook"
    assert "/lab/tree/00_quickstart.ipynb" in output


def root_of_package() -> str:
    return str(Path(steerbench.__file__).parents[1])


def answer(url: str, server: subprocess.Popen, seconds: float) -> dict | None:
    """What the server says once it is up; none if it ended or time ran out."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=10) as reply:
                return json.load(reply)
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    return None


def test_version():
    result = run(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.strip() == f"steerbench {steerbench.__version__}"


def test_lab_reports_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    result = run(app, ["lab", str(tmp_path / "file" / "course"), "--no-browser"])
    assert result.exit_code == 1
    assert "cannot be made" in result.output


# -- the doctor -----------------------------------------------------------------------------------


def test_the_doctor_finds_this_machine_fit(tmp_path):
    result = run(app, ["doctor", "--folder", str(tmp_path)])
    assert result.exit_code == 0, result.output
    for word in ("python", "torch", "memory", "accelerator", "ms at", "fast", "JupyterLab"):
        assert word in result.output


def test_the_doctor_ends_with_one_where_something_is_broken(tmp_path):
    result = run(app, ["doctor", "--folder", str(tmp_path / "absent")])
    assert result.exit_code == 1
    assert "steerbench lab DIR" in result.output


def test_a_probe_that_fails_is_a_finding_and_the_others_run(monkeypatch, tmp_path):
    def explode(folder):
        raise OSError("disk on fire")

    monkeypatch.setattr(doctor, "PROBES", {"disk": explode, "folder": doctor.writing})
    first, second = doctor.examine(tmp_path)
    assert first.state == "broken"
    assert "disk on fire" in first.found
    assert first.advice
    assert second.state == "ok"


def test_another_version_than_the_tested_one_is_noted(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "ESSENTIAL", ("numpy", "no-such-distribution"))
    monkeypatch.setattr(doctor, "tested_set", lambda: {"numpy": "0.1"})
    other, missing = doctor.versions(tmp_path)
    assert other.state == "note"
    assert "tested: 0.1" in other.found
    assert missing.state == "broken"


def test_the_tested_set_is_read():
    tested = doctor.tested_set()
    assert tested["torch"] == "2.13.0"
    assert tested["torchvision"] == "0.28.0"
