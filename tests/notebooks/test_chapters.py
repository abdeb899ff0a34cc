"""Every chapter runs from top to bottom without a screen, in time and within its memory.

The time and the memory of each are printed in the report of the run (``-rP`` shows them) and
attached to the test as properties, for ``--junit-xml``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from tests.notebooks.running import FOLDER, PATIENCE, Executed, read

CHAPTERS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
SOLUTIONS = sorted((FOLDER / "solutions").glob("*.ipynb"))
CPU_SECONDS = 120
"""What a chapter may compute; unlike the clock, it does not mind who else is at work."""
GIGABYTES = 1.5
SETUP_LINES = 3

pytestmark = pytest.mark.timeout(PATIENCE + 60)


def name(path: Path) -> str:
    return path.relative_to(FOLDER).with_suffix("").as_posix()


def code(path: Path) -> list[str]:
    return [cell.source for cell in read(path).cells if cell.cell_type == "code"]


def printed(notebook: NotebookNode) -> str:
    """Everything that the cells wrote to the screen as text."""
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    return "".join(out.text for out in outputs if out.output_type == "stream")


def within_limits(run: Executed, path: Path, record: Callable[[str, object], None]) -> None:
    """Record what a notebook cost, and hold it to the limits."""
    cost = re.findall(r"^cost (\S+) (\d+)$", printed(run.notebook), flags=re.MULTILINE)[-1]
    computed, peak = float(cost[0]), int(cost[1]) / 2**20
    record("seconds", round(run.seconds, 1))
    record("cpu_seconds", round(computed, 1))
    record("peak_gigabytes", round(peak, 2))
    print(f"{name(path)}: {run.seconds:.1f} s, {computed:.1f} s of CPU, peak {peak:.2f} GB")
    assert computed < CPU_SECONDS
    assert peak < GIGABYTES


@pytest.mark.parametrize("path", CHAPTERS, ids=name)
def test_a_chapter_runs_and_its_exercises_are_judged(path, executed, record_property):
    run = executed(path)
    within_limits(run, path, record_property)
    notebook = run.notebook
    exercises = [source for source in code(path) if "sb.check(" in source]
    verdicts = re.findall(r"^[✓✗] ", printed(notebook), flags=re.MULTILINE)
    assert len(verdicts) >= len(exercises) > 0
    figures = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert any("image/png" in out.get("data", {}) for out in figures)


@pytest.mark.parametrize("path", SOLUTIONS, ids=name)
def test_the_worked_answers_pass_their_checks(path, executed, record_property):
    run = executed(path)
    within_limits(run, path, record_property)
    said = printed(run.notebook)
    assert "✓" in said
    assert "✗" not in said, said


@pytest.mark.parametrize("path", CHAPTERS, ids=name)
def test_each_exercise_has_its_check_and_its_worked_answer(path):
    text = "\n".join(cell.source for cell in read(path).cells)
    announced = set(re.findall(r"^## Exercise (\d\d\.\d)$", text, flags=re.MULTILINE))
    checked = set(re.findall(r'sb\.check\("(\d\d\.\d)"', text))
    solved = set(re.findall(r'sb\.check\("(\d\d\.\d)"', "\n".join(code(solution_of(path)))))
    assert announced
    assert announced == checked == solved


def solution_of(path: Path) -> Path:
    return FOLDER / "solutions" / path.name


@pytest.mark.parametrize("path", [*CHAPTERS, *SOLUTIONS], ids=name)
class TestForm:
    """What holds for every notebook as it is kept."""

    def test_it_is_valid_and_its_cells_have_ids_of_their_own(self, path):
        notebook = read(path)
        nbformat.validate(notebook)
        assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
        ids = [cell.id for cell in notebook.cells]
        assert len(set(ids)) == len(ids)

    def test_outputs_are_stripped(self, path):
        for cell in read(path).cells:
            assert not cell.get("outputs")
            assert cell.get("execution_count") is None
            assert "execution" not in cell.metadata

    def test_it_needs_no_setting_up(self, path):
        for source in code(path):
            assert not re.search(r"^[!%]|pip install|sys\.path|os\.environ", source, re.MULTILINE)
            lines = [line for line in source.splitlines() if line.strip()]
            imports = [line for line in lines if re.match(r"(import|from) ", line)]
            if len(imports) == len(lines):
                assert len(imports) <= SETUP_LINES

    def test_it_names_no_place_of_one_machine(self, path):
        text = path.read_text()
        assert not re.search(r"[\"'\s(](/(home|root|work|tmp|Users|opt)/|[A-Z]:\\\\)", text)

    def test_it_opens_with_a_title(self, path):
        first = read(path).cells[0]
        assert first.cell_type == "markdown"
        assert first.source.startswith("# ")
