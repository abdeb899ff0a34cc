"""The pages of the reference, made from the package, the chapters and the command line.

mkdocs calls the functions whose names begin with ``on_``. A page is made for each public module,
for each package of such, for the chapters and for the commands; the home page and the index by
task are written by hand, in ``pages/``.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click

import steerbench
from steerbench.cli import app

from names import Public, exports, inherited, modules  # isort: skip

NOTEBOOKS = Path(__file__).parents[1]
REFERENCE = re.compile(r"\]\[(steerbench[\w.]*)\]")
USED = re.compile(r"\bsb\.((?:\w+\.)*\w+)")
CODE = re.compile(r"(<pre.*?</pre>|<a\b.*?</a>|<h\d.*?</h\d>)|<code>([A-Za-z_][\w.]*)</code>", re.S)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made, and the order of all pages."""
    walked = {module.__name__: exports(module) for module in modules()}
    pages = reference_pages(walked)
    made = {"chapters.md": chapters_page(), "commands.md": commands_page(), **pages}
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    picture = NOTEBOOKS / "pictures" / "light.png"
    files.append(File.generated(config, "assets/light.png", abs_src_path=str(picture)))
    config.extra["known"] = known_names(walked)
    config.nav = [
        {"Home": "index.md"},
        {"I want to …": "tasks.md"},
        {"Chapters": "chapters.md"},
        {"Command line": "commands.md"},
        {"Reference": navigation(list(pages))},
    ]
    return files


def on_post_build(config: MkDocsConfig) -> None:
    """Leave out what the pages never ask for: sources of scripts, and words of other languages."""
    scripts = Path(config.site_dir) / "assets" / "javascripts"
    shutil.rmtree(scripts / "lunr", ignore_errors=True)
    for path in Path(config.site_dir).rglob("*.map"):
        path.unlink()


# -- pages of modules -----------------------------------------------------------------------------


def reference_pages(walked: dict[str, list[Public]]) -> dict[str, str]:
    """Markdown by path: a page for every module that exports a name or defines an exported one."""
    everything = [each for names in walked.values() for each in names]
    public = {each.value for each in everything if isinstance(each.value, type)}
    defined: dict[str, dict[str, list[str]]] = {name: {} for name in walked}
    for each in everything:
        if not isinstance(each.value, ModuleType):
            home, _, name = each.home.rpartition(".")
            defined.setdefault(home, {})[name] = inherited(each.value, public)
    packages = {name.rpartition(".")[0] for name in defined}
    return {
        page_of(name, name in packages): module_page(name, defined[name], walked.get(name, []))
        for name in sorted(defined)
    }


def page_of(module: str, package: bool) -> str:
    """Where the page of a module lies.

    >>> page_of("steerbench.types", True), page_of("steerbench.types.latent", False)
    ('reference/types/index.md', 'reference/types/latent.md')
    """
    inside = module.split(".")[1:]
    return "/".join(["reference", *inside, "index"] if package else ["reference", *inside]) + ".md"


def module_page(module: str, defined: dict[str, list[str]], listed: list[Public]) -> str:
    """The docstring of a module, a table of what its modules offer, and what it defines, in full.

    Args:
        module: Its dotted name.
        defined: The public names that it defines, each with those that it inherits unseen.
        listed: The names that it exports.
    """
    title = module.rpartition(".")[2]
    lines = [f"---\ntitle: {title}\n---\n", item(module, members=[])]
    elsewhere = [each for each in listed if each.home.rpartition(".")[0] != module]
    if elsewhere:
        lines += ["| name | what it is |", "| --- | --- |", *map(row, elsewhere), ""]
    for name, unseen in defined.items():
        options = {"heading_level": 2, "show_root_full_path": False, "inherited_members": unseen}
        lines.append(item(f"{module}.{name}", **options))
    return "\n".join(lines)


def item(path: str, **options: Any) -> str:
    """Where mkdocstrings is to put the documentation of something."""
    lines = [f"      {name}: {json.dumps(value)}" for name, value in options.items()]
    return "\n".join([f"::: {path}", "    options:", *lines, ""])


def row(public: Public) -> str:
    """A line of a table: the name, as a cross-reference, and the first sentence about it."""
    summary = public.summary.replace("|", "\\|")
    shown = (
        public.path.replace("steerbench.", "sb.", 1) if public.path.count(".") == 1 else public.name
    )
    return f"| [`{shown}`][{public.home}] | {summary} |"


def navigation(pages: list[str]) -> list[Any]:
    """The tree of folders as mkdocs wants it: pages first, by name."""
    tree: dict[str, Any] = {}
    for page in pages:
        *folders, name = page.split("/")[1:]
        branch = tree
        for folder in folders:
            branch = branch.setdefault(folder, {})
        branch[name] = page
    return _branch(tree)


def _branch(tree: dict[str, Any]) -> list[Any]:
    index = [tree["index.md"]] if "index.md" in tree else []
    rest = [name for name in sorted(tree) if name != "index.md"]
    return index + [
        {name: _branch(tree[name])} if isinstance(tree[name], dict) else tree[name] for name in rest
    ]


# -- the chapters and the commands ----------------------------------------------------------------


def chapters_page() -> str:
    """A section a chapter: its question, and the public names that it works with."""
    head = (
        "---\nhide: [navigation]\n---\n\n# Chapters\n\nThe course: executable notebooks, a topic "
        "each. `steerbench lab` copies them to a folder of yours and opens the first.\n"
    )
    return "\n".join([head, *(chapter(path) for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")))])


def chapter(path: Path) -> str:
    """One section of the page of chapters; its anchor is ``chapter-NN``."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "".join(cells[0]["source"])
    title = text.split("\n")[0].removeprefix("# ")
    questions = re.findall(r"\*\*([^*]+\?)\*\*", text, re.S)
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    number = path.name[:2]
    return "\n\n".join(
        [
            f"## {number} {title} {{ #chapter-{number} }}",
            " ".join(" ".join(questions).split()),
            f"`{path.name}` · {', '.join(f'`{name}`' for name in used_names(code))}\n",
        ]
    )


def used_names(code: str) -> list[str]:
    """The public names that code uses, as it calls them.

    >>> used_names("sb.show(sb.widgets.Flipbook(x)); sb.Recipe.of(G, w)")
    ['sb.Recipe', 'sb.show', 'sb.widgets.Flipbook']
    """
    names = set()
    for dotted in USED.findall(code):
        target: Any = steerbench
        path = "sb"
        for part in dotted.split("."):
            if part not in getattr(target, "__all__", ()):
                break
            target = getattr(target, part)
            path = f"{path}.{part}"
        if path != "sb" and not isinstance(target, ModuleType):
            names.add(path)
    return sorted(names)


def commands_page() -> str:
    """The manual of the command, written by typer from the functions behind it."""
    command = typer.main.get_command(app)
    manual = get_docs_for_click(
        obj=command, ctx=typer.Context(command), name="steerbench", title="The command line"
    )
    # Typer cuts the sentences of this list short; they stand in full below it.
    manual = re.sub(r"\*\*Commands\*\*:\n\n(\* .*\n)+\n", "", manual)
    return f"---\nhide: [navigation]\n---\n\n{manual}"


# -- names in running text ------------------------------------------------------------------------


def known_names(walked: dict[str, list[Public]]) -> dict[str, str]:
    """Homes by what a text calls them: ``sb.load``, ``steerbench.types.Edit``, a class alone."""
    homes: dict[str, str] = {}
    bare = defaultdict(set)
    for public in (each for names in walked.values() for each in names):
        homes[public.path] = homes[public.home] = public.home
        homes[public.path.replace("steerbench.", "sb.", 1)] = public.home
        if isinstance(public.value, type):
            bare[public.name].add(public.home)
    return homes | {name: found.pop() for name, found in bare.items() if len(found) == 1}


def home_of(name: str, known: dict[str, str]) -> str | None:
    """Where a public name, or a member of one, is described.

    >>> home_of("sb.Direction.save", {"sb.Direction": "steerbench.types.latents.Direction"})
    'steerbench.types.latents.Direction.save'
    >>> home_of("numpy.ndarray", {})
    """
    if name in known:
        return known[name]
    owner, _, member = name.rpartition(".")
    return f"{known[owner]}.{member}" if owner in known else None


def on_page_markdown(markdown: str, config: MkDocsConfig, **_: Any) -> str:
    """Lead references to where people import a name to where it is defined, and described."""
    known = config.extra["known"]
    return REFERENCE.sub(lambda match: f"][{home_of(match[1], known) or match[1]}]", markdown)


def on_page_content(html: str, config: MkDocsConfig, **_: Any) -> str:
    """Link the public names that stand in backticks to where they are described."""
    known = config.extra["known"]

    def link(match: re.Match[str]) -> str:
        home = None if match[1] else home_of(match[2], known)
        if home is None:
            return match[0]
        return f'<autoref identifier="{home}" optional><code>{match[2]}</code></autoref>'

    return CODE.sub(link, html)
