"""How the house is built, in figures: ``python tests/house.py [FOLDER]`` prints those of a package.

Read from the code's own syntax trees, nothing is imported:

- *circles*: groups of modules that import each other in a loop, imports inside functions included;
- *long*: functions over 40 lines without their docstring; *wide*: functions of more than 10
  parameters;
- *participles*: functions and classes named by a bare participle (``kept``, ``wanted_of``), not by
  a verb or a noun;
- *constants*: upper-case names of modules, for 1,000 lines.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LONG, WIDE = 40, 10

IRREGULAR = (
    "begun bent blotched bound bought broken brought built caught chosen come cut done "
    "drawn dealt driven fallen fed felt found forgotten given gone grown held hidden hung "
    "kept known laid led left lent lit lost made meant met paid put read risen run said "
    "seen sent set shaken shown shrunk sold spent split spread stood struck sunk sworn "
    "taken taught thought thrown told torn understood won worn written"
)
# Words that are verbs or nouns of the field as well.
ALSO_VERBS = {"cut", "put", "read", "run", "set", "split", "spread", "come"}
NOUNS = {"embed", "feed", "need", "seed", "speed", "shed", "red", "bed", "shared"}
PARTICIPLE = re.compile(rf"(?:[a-z]+ed|{'|'.join({*IRREGULAR.split()} - ALSO_VERBS)})")
AFTER = {"", "of", "by", "at", "in", "for", "with", "from", "like", "as", "to", "on", "again"}


@dataclass(frozen=True)
class Figures:
    """What was counted; lists name the places."""

    lines: int
    files: int
    functions: int
    circles: list[list[str]]
    long: list[str]
    wide: list[str]
    participles: list[str]
    constants: list[str]

    @property
    def participle_share(self) -> float:
        """Of all functions and classes."""
        return len(self.participles) / self.functions

    @property
    def constants_per_thousand(self) -> float:
        return 1000 * len(self.constants) / self.lines


def measure(package: Path) -> Figures:
    """Count one package, from the folder that holds its ``__init__``."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in package.rglob("*.py")}
    defined = [(path, node) for path, tree in trees.items() for node in _definitions(tree)]
    functions = [(path, node) for path, node in defined if not isinstance(node, ast.ClassDef)]
    return Figures(
        lines=sum(len(path.read_text(encoding="utf-8").splitlines()) for path in trees),
        files=len(trees),
        functions=len(defined),
        circles=circles(package, trees),
        long=[_place(*each) for each in functions if _length(each[1]) > LONG],
        wide=[_place(*each) for each in functions if _width(each[1]) > WIDE],
        participles=[_place(*each) for each in defined if is_participle(each[1].name)],
        constants=[f"{path}:{name}" for path, tree in trees.items() for name in _constants(tree)],
    )


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _definitions(tree: ast.Module) -> Iterator[Definition]:
    for node in ast.walk(tree):
        if isinstance(node, Definition):
            yield node


def _place(path: Path, node: Definition) -> str:
    return f"{path}:{node.lineno} {node.name}"


def _length(node: Definition) -> int:
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    start = (first.end_lineno or first.lineno) if documented else first.lineno - 1
    return (node.end_lineno or start) - start


def _width(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    given = node.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return len([each for each in every if each.arg not in ("self", "cls")])


def is_participle(name: str) -> bool:
    """Whether a name is a bare participle, alone or with a preposition behind it.

    >>> [is_participle(name) for name in ("kept", "_wanted_of", "kept_rows", "embed", "render")]
    [True, True, False, False, False]
    """
    if name.startswith("test_") or name.startswith("__"):
        return False
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip("_")).lower().split("_")
    if words[0] in NOUNS or not PARTICIPLE.fullmatch(words[0]):
        return False
    return len(words) == 1 or (len(words) == 2 and words[1] in AFTER)


def _constants(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        for target in targets:
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            for name in names:
                if isinstance(name, ast.Name) and re.fullmatch(r"_?[A-Z][A-Z0-9_]*", name.id):
                    yield name.id


def circles(package: Path, trees: dict[Path, ast.Module]) -> list[list[str]]:
    """The groups of modules that import each other, by Tarjan's algorithm."""
    names = {_module(package, path): path for path in trees}
    edges = {name: _imports(name, names, trees[path]) for name, path in names.items()}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in edges[name]:
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    sys.setrecursionlimit(10_000)
    for name in names:
        if name not in index:
            visit(name)
    return found


def _module(package: Path, path: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(name: str, names: dict[str, Path], tree: ast.Module) -> set[str]:
    """The modules that a module names; a package's face hands names on and is no module here."""
    found: set[str] = set()
    checking = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in checking:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            deeper = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (deeper & names.keys()) or {node.module}
    package = name.split(".")[0]
    return {each for each in found if each in names and each not in (name, package)}


def main(folder: str = "steerbench") -> None:
    figures = measure(Path(folder))
    print(
        f"{figures.files} files, {figures.lines} lines, {figures.functions} functions and classes"
    )
    print(f"circles: {len(figures.circles)} {figures.circles}")
    print(f"functions over {LONG} lines: {len(figures.long)}")
    print(f"functions of more than {WIDE} parameters: {len(figures.wide)}")
    print(f"participles: {len(figures.participles)}, {100 * figures.participle_share:.1f}%")
    print(f"constants: {len(figures.constants)}, {figures.constants_per_thousand:.1f} a thousand")


if __name__ == "__main__":
    main(*sys.argv[1:])
