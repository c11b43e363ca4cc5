"""The generated pages of the documentation: commands, API, notebooks, the explorer.

A hook of MkDocs (``hooks:`` in mkdocs.yml): what it makes is never written to docs/. Notebooks are executed in a
process and a folder of their own; what came out is kept under build/notebooks and used again as long as neither the
notebook nor the library changed.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
OFFICIAL = ROOT.parent / "shared" / "ml-images"
_EXECUTED = ROOT / "build" / "notebooks"
_SECONDS = 180  # that a notebook may take
_log = logging.getLogger("mkdocs.hooks.sitepages")

#: A page each: its title, and the modules whose public names it shows, or module:name for a name of it.
API = {
    "hierarchy": (
        "Hierarchies",
        [
            "mlimages.hierarchy",
            "mlimages.hierarchy.load:ml_images_file",
            "mlimages.hierarchy.wordnet.synsets:from_wordnet",
            "mlimages.hierarchy.wordnet.synsets:from_class_list",
            "mlimages.hierarchy.wordnet.nltk:nltk_synset",
            "mlimages.hierarchy.wordnet.synsets:close_upwards",
            "mlimages.hierarchy.formats.openimages:read_open_images",
            "mlimages.hierarchy.formats.dictionary:read_dictionary",
            "mlimages.hierarchy.similarity:wup_similarity",
            "mlimages.hierarchy.drawing.draw:tree",
            "mlimages.hierarchy.drawing.draw:treemap",
            "mlimages.hierarchy.drawing.draw:sunburst",
            "mlimages.hierarchy.drawing.drawrules:draw_rules",
            "mlimages.hierarchy.drawing.explorer",
        ],
    ),
    "annotate": (
        "Annotations",
        [
            "mlimages.annotate.pipeline:annotate",
            "mlimages.annotate",
            "mlimages.annotate.propagation.recover:recover_given",
            "mlimages.annotate.inspect.judgement:RuleJudgement",
            "mlimages.annotate.inspect.statistics:TableStatistics",
            "mlimages.annotate.inspect.audit:LabelAudit",
        ],
    ),
    "images": (
        "Pixels",
        [
            "mlimages.images",
            "mlimages.images.tfrecord.records:Record",
            "mlimages.images.tfrecord.records:read",
            "mlimages.images.tfrecord.records:write",
        ],
    ),
    "models": ("Networks", ["mlimages.models"]),
    "errors": ("Errors, doctor and build", ["mlimages.errors", "mlimages.doctor", "mlimages.build.pipeline:build"]),
}


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages to the files of the site."""
    from mkdocs.structure.files import File

    def add(path: str, content: str | bytes) -> None:
        files.append(File.generated(config, path, content=content))

    add("benchmarks.md", (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8"))
    add("reference/commands.md", commands_page())
    for name in API:
        add(f"reference/{name}.md", api_page(name))
    for path in NOTEBOOKS:
        page, pictures = notebook_page(path)
        add(f"notebooks/{path.stem}.md", page)
        for file, content in pictures.items():
            add(f"notebooks/{path.stem}_files/{file}", content)
    add("explorer.html", explorer_page())
    return files


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Warn (an error in the strict build) if reStructuredText is left in a page of the reference."""
    left = re.search(r":(?:attr|class|data|exc|func|meth|mod):<code>.*?</code>|={4,}", html)
    if left is not None and page.file.src_uri.startswith("reference/"):
        _log.warning("%s: %s was not made Markdown by scripts/docstrings.py", page.file.src_uri, left[0])
    return html


def commands_page() -> str:
    """Every command with its arguments and options, as in ``--help``."""
    from typer.cli import get_docs_for_click
    from typer.main import get_command
    from typer.models import Context

    from mlimages.cli import app

    command = get_command(app)
    text = get_docs_for_click(obj=command, ctx=Context(command), name="mlimages", title="Commands")
    for each in _commands(command):  # what it shortens to some words
        text = text.replace(f"`: {each.get_short_help_str()}\n", f"`: {each.get_short_help_str(limit=1000)}\n")
    return text.replace("```console\n$ ", "```text\n")


def _commands(command: Any) -> Iterator[Any]:
    for each in getattr(command, "commands", {}).values():
        yield each
        yield from _commands(each)


def api_page(page: str) -> str:
    """Directives for the public names of modules, which mkdocstrings replaces by their docstrings."""
    title, modules = API[page]
    parts = [f"# {title}\n"]
    for module in modules:
        module, _, name = module.partition(":")
        if f"## {module}\n" not in parts:
            parts.append(f"## {module}\n")
        parts += [f"::: {place}\n" for place in ([f"{module}.{name}"] if name else public_names(module))]
    return "\n".join(dict.fromkeys(parts))  # a name listed first on its own is one of its package too


def public_names(module: str) -> Iterator[str]:
    """The path where each public name of a module is defined, without importing modules that need an extra."""
    loaded = importlib.import_module(module)
    homes = getattr(loaded, "_HOME", {})
    if not hasattr(loaded, "__all__"):
        for name, value in vars(loaded).items():
            if not name.startswith("_") and getattr(value, "__module__", None) == module and hasattr(value, "__doc__"):
                yield f"{module}.{name}"
        return
    for name in loaded.__all__:
        if name in homes:
            home = homes[name]
            yield f"{home if home.startswith('mlimages') else f'{module}.{home}'}.{name}"
        else:
            home = getattr(getattr(loaded, name), "__module__", None)
            yield f"{home if str(home).startswith('mlimages') else module}.{name}"


def executed(path: Path) -> Any:
    """Execute a notebook; raise errors of cells, and close the kernel and its sockets."""
    import asyncio

    import nbformat
    from jupyter_client import AsyncKernelManager
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    if "MLIMAGES_DATA" not in env and OFFICIAL.is_dir():
        env["MLIMAGES_DATA"] = str(OFFICIAL)
    with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
        client = NotebookClient(
            notebook,
            timeout=_SECONDS,
            resources={"metadata": {"path": folder}},
            km=AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{folder}/kernel"),
        )
        # a manager of our own is left running, unless told otherwise; so is the event loop of `execute`
        asyncio.run(client.async_execute(env=env, cleanup_kc=True))
    _EXECUTED.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, _executed_path(path))
    return notebook


def _executed_path(path: Path) -> Path:
    """The cached path of an executed notebook, named by a hash of everything it depends on."""
    content = hashlib.sha256(os.environ.get("MLIMAGES_DATA", str(OFFICIAL.is_dir())).encode())
    for each in [path, *sorted((ROOT / "mlimages").rglob("*.py"))]:
        content.update(each.read_bytes())
    return _EXECUTED / f"{path.stem}-{content.hexdigest()[:16]}.ipynb"


def notebook_page(path: Path) -> tuple[str, dict[str, bytes]]:
    """An executed notebook as Markdown, and its images by file name."""
    import nbformat
    from nbconvert import MarkdownExporter

    kept = _executed_path(path)
    notebook = nbformat.read(kept, as_version=4) if kept.is_file() else executed(path)
    text, resources = MarkdownExporter().from_notebook_node(notebook)
    pictures = resources["outputs"]
    for file in pictures:
        text = text.replace(f"]({file})", f"]({path.stem}_files/{file})")
    text = re.sub(r"<style scoped>.*?</style>\n*", "", text, flags=re.DOTALL)  # of pandas; the theme has its own
    return text, pictures


def explorer_page() -> str:
    """The explorer of the ImageNet-1k categories, one page in itself."""
    from mlimages import load_hierarchy
    from mlimages.hierarchy.drawing.explorer import explorer

    return explorer(load_hierarchy("imagenet-1k"), title="ImageNet-1k categories and their ancestors")
