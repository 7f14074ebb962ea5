"""Which part may import which: the arrows of the layout, checked against the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# package or module -> third-party packages and parts of ours that it may import; the standard library is free
ALLOWED = {
    "fedapp/errors.py": set(),
    "fedapp/files.py": {"fedapp.errors"},
    "fedapp/output.py": {"fedapp.errors", "fedapp.files"},
    "fedapp/scratch.py": {"fedapp.errors", "fedapp.files"},
    "fedapp/locks.py": {"psutil", "fedapp.errors", "fedapp.processes"},
    "fedapp/config.py": {"omegaconf", "yaml", "fedapp.config_check", "fedapp.errors", "fedapp.yaml_file"},
    "fedapp/config_check.py": {"fedapp.config", "fedapp.errors"},
    "fedapp/yaml_file.py": {"omegaconf", "yaml", "fedapp.errors"},
    "fedapp/selection.py": {"polars", "fedapp.files"},
    "fedapp/seeds.py": set(),
    "fedapp/task_names.py": set(),
    "fedapp/versions.py": set(),
    "fedapp/consortium.py": {
        *{"omegaconf", "yaml", "fedapp.errors", "fedapp.files", "fedapp.node_key", "fedapp.public_file"},
        "strategies.secagg",
    },
    "fedapp/node_key.py": {"cryptography", "fedapp.files"},
    "fedapp/public_file.py": {"fedapp.errors", "fedapp.node_key", "strategies.secagg"},
    "fedapp/bundle.py": {"flwr"},
    "fedapp/flower.py": {"httpx", "fedapp.errors", "fedapp.files"},
    "fedapp/processes.py": {"psutil"},
    "fedapp/request_log.py": {"strategies.lines"},
    "fedapp/site": {
        *{"flwr", "httpx", "starlette", "uvicorn", "cryptography", "omegaconf", "yaml", "psutil", "jinja2", "markupsafe"},
        *{"numpy", "polars", "safetensors", "fedapp", "strategies"},
    },
    "fedapp/assurance.py": {"fedapp.errors", "strategies.secagg"},
    "fedapp/membership.py": {
        *{"omegaconf", "fedapp.yaml_file", "fedapp.config", "fedapp.config_check", "fedapp.consortium", "fedapp.errors"},
        *{"fedapp.files", "fedapp.run_folder", "strategies.house", "strategies.secagg"},
    },
    "fedapp/first_trunk.py": {"numpy", "fedapp.config", "fedapp.membership", "fedapp.model.network", "strategies.secagg.streams"},
    "fedapp/chemistry": {"rdkit", "numpy", "fedapp.chemistry", "fedapp.config", "fedapp.errors", "fedapp.processes"},
    "fedapp/data": {
        "rdkit",
        "numpy",
        "polars",
        "fedapp.data",
        "fedapp.chemistry",
        "fedapp.config",
        "fedapp.errors",
        "fedapp.files",
        "fedapp.output",
    },
    "fedapp/model": {
        *{"torch", "numpy", "scipy", "polars", "safetensors"},
        *{"fedapp.model", "fedapp.data", "fedapp.config", "fedapp.errors", "fedapp.files", "fedapp.seeds", "fedapp.selection"},
        *{"fedapp.privacy.noise", "fedapp.versions"},
    },
    "fedapp/privacy": {"numpy", "fedapp.privacy"},
    "fedapp/privacy/noise.py": {"numpy", "cryptography"},
    "fedapp/privacy/accounting.py": {"dp_accounting"},
    "fedapp/privacy/calibration.py": {"scipy", "fedapp.privacy"},
    "fedapp/privacy/budget.py": {"fedapp.privacy.accounting", "fedapp.errors", "fedapp.files"},
    "fedapp/record_privacy.py": {"numpy", "fedapp.privacy", "fedapp.data", "fedapp.config", "fedapp.files"},
    "fedapp/partner.py": {
        *{"flwr", "numpy", "polars", "torch", "fedapp.privacy", "fedapp.record_privacy"},
        *{"fedapp.model", "fedapp.data", "fedapp.config", "fedapp.errors", "fedapp.files", "fedapp.seeds", "fedapp.selection"},
        "fedapp.config_check",
    },
    "fedapp/model_folder.py": {"fedapp.errors", "fedapp.model", "fedapp.site.folder"},
    "fedapp/prediction.py": {"numpy", "polars", "fedapp"},
    "fedapp/export.py": {"polars", "jinja2", "fedapp"},
    "fedapp/run_folder.py": {"fedapp.config", "fedapp.errors", "fedapp.files", "fedapp.versions"},
    "fedapp/server_app.py": {"flwr", "fedapp", "strategies"},
    "fedapp/client_app.py": {"flwr", "numpy", "fedapp", "strategies"},
    "fedapp/report": {
        *{"numpy", "polars", "scipy", "rdkit", "matplotlib", "jinja2", "markupsafe", "omegaconf", "yaml"},
        *{"fedapp.report", "fedapp.errors", "fedapp.files", "fedapp.output", "fedapp.selection", "fedapp.task_names"},
    },
    "fedapp/cli": {"typer", "rich", "polars", "numpy", "fedapp", "simulation", "strategies.journal", "strategies.secagg"},
    "strategies": {"flwr", "numpy", "safetensors", "fedapp.files", "fedapp.privacy", "strategies"},
    "strategies/prompt_grid.py": {"flwr", "google.protobuf"},
    "strategies/secagg": {"numpy", "cryptography", "strategies.secagg"},
    "simulation": {"numpy", "polars", "torch", "fedapp", "strategies", "simulation"},
    "simulation/audit": {"numpy", "polars", "torch", "scipy", "rdkit", "safetensors", "fedapp", "strategies", "simulation"},
    "simulation/processes.py": {"torch", "threadpoolctl", "fedapp.processes"},
    "simulation/benchmark.py": {"numpy", "cryptography", "fedapp", "strategies", "simulation"},
    "simulation/stock_secagg.py": {"flwr", "numpy", "simulation"},
}
OURS = {"fedapp", "strategies", "simulation", "tests"}
OUTSIDE_WORLD = {"asyncio", "datetime", "io", "logging", "os", "pathlib", "random", "secrets", "socket", "subprocess", "tempfile", "time"}


def rule_for(path: Path) -> str:
    relative = path.relative_to(ROOT).as_posix()
    return max((rule for rule in ALLOWED if relative == rule or relative.startswith(f"{rule}/")), key=len)


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def sources() -> list[Path]:
    return [path for package in ("fedapp", "strategies", "simulation") for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_imports_only_what_its_layer_may(path: Path) -> None:
    if path.name == "__init__.py" and not path.read_text().strip():
        return
    import sys

    allowed = ALLOWED[rule_for(path)]
    for name in imports(path):
        top = name.split(".")[0]
        if top in sys.stdlib_module_names:
            continue
        assert any(name == part or name.startswith(f"{part}.") for part in allowed), f"{path.relative_to(ROOT)} may not import {name}"


def test_nobody_imports_the_command_line_or_the_simulation_but_themselves() -> None:
    for path in sources():
        inside = path.relative_to(ROOT).as_posix()
        if inside.startswith(("fedapp/cli/", "simulation/")):
            continue
        assert not any(f"{name}.".startswith(("simulation.", "fedapp.cli.")) for name in imports(path)), inside


def test_the_protocol_knows_no_clock_no_file_no_network_and_no_randomness_of_its_own() -> None:
    for path in sorted((ROOT / "strategies" / "secagg").glob("*.py")):
        assert not {name.split(".")[0] for name in imports(path)} & OUTSIDE_WORLD, path.name
