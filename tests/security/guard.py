"""Opening files in another process, and what must be true of every answer."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.security.makers import MAKERS, made

PATIENCE = 120.0
"""Seconds after which a file counts as one that hangs, on a machine however busy."""
QUICK = 10.0
"""Seconds of computing that any file of these tests may take."""


@dataclass(frozen=True)
class Answer:
    """What came of a file: refused with a reason, a right model, directions, or plain contents."""

    outcome: str
    said: str
    grown: int
    seconds: float
    events: tuple[str, ...]


class Guard:
    """A worker process, started when it is needed and again when it was lost."""

    def __init__(self, folder: Path, patience: float = PATIENCE) -> None:
        self.path, self.patience = folder / "file", patience
        self.process: subprocess.Popen[str] | None = None
        self.opened = 0

    def open(self, data: bytes, how: str = "load", name: str = "file") -> Answer:
        """Open a file in the worker; fails where it hangs, dies, executes, or gives nonsense."""
        self._running()
        path = self.path.with_name(name)
        path.write_bytes(data)
        answer = self._ask(path, how)
        self.opened += 1
        assert not answer.events, f"reading did what it never needs: {answer.events}"
        assert answer.seconds < QUICK, f"it took {answer.seconds:.1f} seconds of computing"
        fine = ("refused", "model", "directions", "contents")
        assert answer.outcome in fine, f"{answer.outcome}: {answer.said}"
        return answer

    def refuse(self, data: bytes, says: str = "", how: str = "load", name: str = "file") -> Answer:
        """Open a file that must be refused, with a reason that names what is wrong."""
        answer = self.open(data, how, name)
        assert answer.outcome == "refused", f"it was taken for {answer.outcome}"
        assert says in answer.said, answer.said
        return answer

    def _ask(self, path: Path, how: str, warm: bool = False) -> Answer:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        patience = PATIENCE if warm else self.patience
        process.stdin.write(json.dumps({"path": str(path), "how": how, "warm": warm}) + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], patience)
        line = process.stdout.readline() if ready else ""
        if not line:
            self.close()
            died = f"killed the worker ({process.returncode})" if ready else "hung"
            raise AssertionError(f"opening {path} {died}")
        return Answer(**{**json.loads(line), "events": tuple(json.loads(line)["events"])})

    def _running(self) -> subprocess.Popen[str]:
        if self.process is None or self.process.poll() is not None:
            root = str(Path(__file__).parents[2])
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.security.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=root,
                env=os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
            )
            self._warm_up()
        return self.process

    def _warm_up(self) -> None:
        """Open a good file of each kind, so that a hostile one finds everything imported."""
        for kind, maker in MAKERS.items():
            path = self.path.with_name(maker.name)
            path.write_bytes(made(kind))
            got = self._ask(path, maker.how, warm=True)
            assert got.outcome == maker.gives, f"a whole {kind} gave {got.outcome}: {got.said}"

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
