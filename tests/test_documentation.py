"""The documentation is complete, and its code does what the pages say."""

from __future__ import annotations

import contextlib
import doctest
import enum
import importlib
import importlib.util
import inspect
import io
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md"]
MODULES = (
    "jaxplain",
    "jaxplain.baselines",
    "jaxplain.evaluate",
    "jaxplain.features",
    "jaxplain.flax",
    "jaxplain.parametrizations",
    "jaxplain.penalties",
    "jaxplain.plot",
    "jaxplain.rules",
    "jaxplain.transforms",
)
# These only re-export.
TABLES_OF_CONTENTS = set(MODULES) - {"jaxplain.baselines", "jaxplain.flax"}


def public(module: ModuleType) -> dict[str, Any]:
    """What a package re-exports, or a module defines, by full name."""
    passed_on = set(re.findall(r"import (\w+) as \1$", inspect.getsource(module), re.MULTILINE))
    return {
        f"{module.__name__}.{name}": value
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
        if module.__name__ in TABLES_OF_CONTENTS
        or name in passed_on
        or getattr(value, "__module__", "") == module.__name__
    }


PUBLIC = {
    name: value
    for module in MODULES
    for name, value in public(importlib.import_module(module)).items()
}
each_name = pytest.mark.parametrize("name", PUBLIC)


def test_every_public_module_is_looked_at() -> None:
    contents = (ROOT / "jaxplain" / "__init__.py").read_text()
    named = re.findall(r"^from \. import (\w+) as \1$", contents, flags=re.MULTILINE)
    assert {f"jaxplain.{name}" for name in named} <= set(MODULES)


@each_name
def test_docstring_is_complete(name: str) -> None:
    gaps = list(gaps_in_docstring(PUBLIC[name]))
    assert not gaps, f"{name}: {'; '.join(gaps)}"


def gaps_in_docstring(value: Any) -> Iterator[str]:
    """What the docstring of a function or a dataclass lacks."""
    text = inspect.getdoc(value)
    if not text or not text.splitlines()[0].endswith("."):
        yield "the docstring must begin with one line that is a sentence"
        return
    sections = sections_of(text)
    if ">>> " not in sections.get("Example", ""):
        yield "there is no Example: section with >>> prompts"
    if inspect.isclass(value) and issubclass(value, enum.Enum):
        return  # its members are not parameters
    documented = re.findall(r"^ {4}(\*{0,2}\w+): ", sections.get("Args", ""), flags=re.MULTILINE)
    expected = [written(parameter) for parameter in inspect.signature(value).parameters.values()]
    if documented != expected:
        yield f"Args: names {documented}, but the parameters are {expected}"
    if not inspect.isclass(value) and not sections.get("Returns", "").strip():
        yield "there is no Returns: section"


def sections_of(text: str) -> dict[str, str]:
    """The bodies of the sections of a docstring in Google style, by heading."""
    _, *parts = re.split(r"^([A-Z]\w+):$", text, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def written(parameter: inspect.Parameter) -> str:
    """A parameter's name as Args: spells it."""
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return stars.get(parameter.kind, "") + parameter.name


def test_reference_lists_every_public_name_once() -> None:
    pages = [path.read_text() for path in sorted((DOCS / "api").glob("*.md"))]
    listed = re.findall(r"^::: (\S+)$", "\n".join(pages), flags=re.MULTILINE)
    assert sorted(listed) == sorted(PUBLIC)


class Block(NamedTuple):
    """A fenced block of a page: its language, its text, the number of lines before the text."""

    language: str
    text: str
    line: int


def blocks(page: str) -> list[Block]:
    """All fenced blocks, in order."""
    fenced = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
    found = [
        Block(match[1], match[2], page.count("\n", 0, match.start(2)))
        for match in fenced.finditer(page)
    ]
    assert page.count("```") == 2 * len(found), "a block is indented or not closed"
    return found


@pytest.fixture
def defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """JAX as a reader's session starts with it, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    settings = {
        "jax_enable_x64": False,
        "jax_numpy_dtype_promotion": "standard",
        "jax_numpy_rank_promotion": "allow",
        "jax_check_tracer_leaks": False,
    }
    strict = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    yield
    for name, value in strict.items():
        jax.config.update(name, value)


@pytest.mark.thorough
@pytest.mark.usefixtures("defaults")
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_code_of_page_runs_and_prints_what_the_page_shows(path: Path) -> None:
    """Blocks share a namespace; a `text` block after a `python` block is its output."""
    found = blocks(path.read_text())
    names = {"__name__": path.stem}
    for block, following in itertools.zip_longest(found, found[1:]):
        if block.language != "python" or missing(block):
            continue
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            # Without the annotations-as-strings of this file, which dataclasses cannot look up.
            code = compile("\n" * block.line + block.text, path, "exec", dont_inherit=True)
            exec(code, names)
        shown = following.text if following and following.language == "text" else ""
        # The README may print to show how; a page of the documentation says what comes out.
        if shown or path.parent == DOCS:
            assert_same(output.getvalue(), shown, f"{path.name}, line {block.line}")


def missing(block: Block) -> bool:
    """Whether a block begins with an import of PyTorch, which is no dependency, in vain."""
    return block.text.startswith("import torch") and not importlib.util.find_spec("torch")


def assert_same(printed: str, shown: str, where: str) -> None:
    """Compare two texts up to white space; `...` stands for anything."""
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.OutputChecker().check_output(shown, printed, flags), (
        f"{where}: the page shows\n{shown}\nbut the code prints\n{printed}"
    )
