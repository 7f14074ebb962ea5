"""The package says in its first lines what the rest of the project may use of it."""

import ast
import importlib
import re
from pathlib import Path

import strategies.secagg

SURFACE = re.findall(r"(?<![\w`.])([a-z_]+)\.([A-Za-z_]+)", str(strategies.secagg.__doc__).partition("\na partner")[2])
ROOT = Path(strategies.secagg.__path__[0]).parents[1]
MEASURED = {"simulation.benchmarks.secagg": {"aggregate_check"}}  # parts of a reply are timed from inside


def used_by(path: Path) -> set[str]:
    """Modules of the package that a file imports."""
    used = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "strategies.secagg":
            used |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("strategies.secagg."):
            used.add(node.module.removeprefix("strategies.secagg."))
    return used


def test_everything_that_is_named_is_there() -> None:
    assert len(SURFACE) > 20
    for module, name in SURFACE:
        assert hasattr(importlib.import_module(f"strategies.secagg.{module}"), name), f"{module}.{name}"


def test_the_project_uses_no_module_that_is_not_named() -> None:
    named = {module for module, _ in SURFACE}
    files = [path for room in ("fedapp", "simulation", "strategies") for path in (ROOT / room).rglob("*.py")]
    outside = [path for path in files if "secagg" not in path.relative_to(ROOT).parent.parts]
    assert len(outside) > 100
    for path in outside:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        assert used_by(path) <= named | MEASURED.get(module, set()), module
