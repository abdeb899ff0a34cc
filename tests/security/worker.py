"""The program that opens hostile files: a process of its own, with little memory and a witness.

It reads one JSON line a file, ``{"path", "how", "warm"}``, opens the file, and answers with one:
what came of it, how far its memory grew, and everything that was done meanwhile which reading a
file never needs (Python's audit events: executing or compiling code, starting processes,
importing, opening files to write, connecting). While a file is open the address space may grow by
three times the file and `ROOM`; who wants more meets MemoryError, which is not an answer.
"""

from __future__ import annotations

import codecs
import gc
import json
import os
import pickle
import resource
import sys
import time
from typing import Any

import torch

from steerbench.errors import CheckpointError, LayerError, SpaceError
from steerbench.generators import BaseGenerator, load, read_published_direction
from steerbench.generators.checkpoints import read
from tests.conftest import make_toy

ROOM = 40 * 2**20
"""What reading may take besides three times the file: Python's own values, bounded by a budget."""

FORBIDDEN = (
    "exec",
    "compile",
    "import",
    "marshal.",
    "pickle.find_class",
    "code.__new__",
    "function.__new__",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.chmod",
    "os.link",
    "os.symlink",
    "os.putenv",
    "os.startfile",
    "shutil.",
    "subprocess.",
    "socket.",
    "ctypes.",
    "urllib.",
    "webbrowser.",
    "tempfile.",
)

GENERATOR = make_toy()
_seen: list[str] = []
_armed = False


def witness(event: str, arguments: tuple[Any, ...]) -> None:
    """Note what reading a file never needs."""
    if not _armed:
        return
    writes = event == "open" and len(arguments) > 2 and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if event.startswith(FORBIDDEN) or writes:
        _seen.append(f"{event} {str(arguments)[:120]}")


def memory(key: str) -> int:
    """A line of the kernel's account of this process, in bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(key))


def forget_peak() -> None:
    """Begin to measure the peak of resident memory anew."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def is_right(generator: BaseGenerator) -> bool:
    """Whether a model holds numbers and draws a picture of the size that it promises."""
    state = generator.module.state_dict().values()
    finite = all(bool(torch.isfinite(t).all()) for t in state if t.is_floating_point())
    return finite and generator.render(generator.sample(1)).shape[-1] == generator.resolution


def opened(how: str, path: str) -> Any:
    if how == "carelessly":  # so that the tests can see that harm is seen
        with open(path, "rb") as file:
            return pickle.load(file)
    if how != "channels":
        return {"load": load, "read": read, "direction": read_published_direction}[how](path)
    try:
        return read_published_direction(path, generator=GENERATOR)
    except (LayerError, SpaceError) as error:
        raise CheckpointError(str(error)) from error  # no fault of the file: another generator's


def judged(value: Any) -> str:
    """The name of what a file gave, once it proved to be right."""
    if isinstance(value, BaseGenerator):
        return "model" if is_right(value) else "a wrong model"
    directions = value if isinstance(value, list) else [value]
    if all(hasattr(item, "vector") for item in directions):
        right = all(abs(float(item.vector.norm()) - 1) < 1e-9 for item in directions)
        return "directions" if right else "wrong directions"
    return "contents"


def warm(path: str, how: str) -> dict[str, Any]:
    """Open a good file freely, so that what is imported once is imported now."""
    value = opened(how, path)
    outcome = judged(value)
    del value
    gc.collect()
    gc.freeze()
    return {"outcome": outcome, "said": "", "grown": 0, "seconds": 0, "events": []}


def answer(path: str, how: str) -> dict[str, Any]:
    global _armed
    gc.collect()
    length = os.path.getsize(path)
    before, limit = memory("VmRSS"), memory("VmSize") + 3 * length + ROOM
    forget_peak()
    _seen.clear()
    value, said, outcome = None, "", "refused"
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    begun = time.process_time()
    _armed = True
    try:
        value = opened(how, path)
        outcome = "opened"
    except CheckpointError as error:
        said = str(error)
    except BaseException as error:  # anything else is what the tests look for
        outcome, said = type(error).__name__, str(error)[:2000]
    finally:
        _armed = False
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    seconds = time.process_time() - begun
    grown = memory("VmHWM") - before
    if outcome == "opened":
        try:
            outcome = judged(value)
        except Exception as error:  # a model that was taken, and cannot be used
            outcome, said = type(error).__name__, str(error)[:2000]
    answer = {"outcome": outcome, "said": said, "grown": grown, "seconds": seconds}
    careless = how == "carelessly"
    return answer | {"events": [one for one in _seen if not (careless and "find_class" in one)]}


def main() -> None:
    torch.set_num_threads(1)
    for name in ("ascii", "cp437", "latin1", "raw_unicode_escape", "unicode_escape", "utf-8"):
        codecs.lookup(name)  # Python imports an encoding when it is first needed
    sys.addaudithook(witness)
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a file makes us print does not disturb the answers
    for line in sys.stdin:
        request = json.loads(line)
        reply = (warm if request["warm"] else answer)(request["path"], request["how"])
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
