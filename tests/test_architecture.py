"""Which part may import which: the arrows of the layout, checked against the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# package or module -> third-party packages and parts of ours that it may import; the standard library is free
ALLOWED = {
    "fedapp/errors.py": set(),
    "fedapp/storage/files.py": {"fedapp.errors"},
    "fedapp/storage/output.py": {"fedapp.errors", "fedapp.storage.files"},
    "fedapp/storage/scratch.py": {"fedapp.errors", "fedapp.storage.files"},
    "fedapp/runtime/locks.py": {"psutil", "fedapp.errors", "fedapp.runtime.processes"},
    "fedapp/config.py": {"omegaconf", "yaml", "fedapp.config_check", "fedapp.errors", "fedapp.storage.yaml_file"},
    "fedapp/config_check.py": {"fedapp.config", "fedapp.errors"},
    "fedapp/storage/yaml_file.py": {"omegaconf", "yaml", "fedapp.errors"},
    "fedapp/evaluation/selection.py": {"polars", "fedapp.storage.files"},
    "fedapp/seeds.py": set(),
    "fedapp/data/task_names.py": set(),
    "fedapp/runtime/versions.py": set(),
    "fedapp/consortium/roster_file.py": {
        *{"omegaconf", "yaml", "fedapp.errors", "fedapp.storage.files", "fedapp.consortium.node_key", "fedapp.consortium.public_file"},
        "strategies.secagg",
    },
    "fedapp/consortium/node_key.py": {"cryptography", "fedapp.storage.files"},
    "fedapp/consortium/public_file.py": {"fedapp.errors", "fedapp.consortium.node_key", "strategies.secagg"},
    "fedapp/runtime/bundle.py": {"flwr"},
    "fedapp/runtime/flower.py": {"httpx", "fedapp.errors", "fedapp.storage.files"},
    "fedapp/runtime/processes.py": {"psutil"},
    "fedapp/site/request_log.py": {"fedapp.storage.json_lines"},
    "fedapp/site": {
        *{"flwr", "httpx", "starlette", "uvicorn", "cryptography", "omegaconf", "yaml", "psutil", "jinja2", "markupsafe"},
        *{"numpy", "polars", "safetensors", "fedapp", "strategies"},
    },
    "fedapp/consortium/promises.py": {"fedapp.errors", "strategies.secagg"},
    "fedapp/consortium/membership.py": {
        *{
            "omegaconf",
            "fedapp.storage.yaml_file",
            "fedapp.config",
            "fedapp.config_check",
            "fedapp.consortium.roster_file",
            "fedapp.errors",
        },
        *{"fedapp.storage.files", "fedapp.run_folder", "strategies.partner.side", "strategies.secagg"},
    },
    "fedapp/partner/first_trunk.py": {
        "numpy",
        "fedapp.config",
        "fedapp.consortium.membership",
        "fedapp.model.network",
        "strategies.secagg.keystream",
    },
    "fedapp/chemistry": {"rdkit", "numpy", "fedapp.chemistry", "fedapp.config", "fedapp.errors", "fedapp.runtime.processes"},
    "fedapp/data": {
        "rdkit",
        "numpy",
        "polars",
        "fedapp.data",
        "fedapp.chemistry",
        "fedapp.config",
        "fedapp.errors",
        "fedapp.storage.files",
        "fedapp.storage.output",
    },
    "fedapp/model": {
        *{"torch", "numpy", "scipy", "polars", "safetensors"},
        *{
            "fedapp.model",
            "fedapp.data",
            "fedapp.config",
            "fedapp.errors",
            "fedapp.storage.files",
            "fedapp.seeds",
            "fedapp.evaluation.selection",
        },
        *{"fedapp.privacy.noise", "fedapp.runtime.versions"},
    },
    "fedapp/privacy": {"numpy", "fedapp.privacy"},
    "fedapp/privacy/noise.py": {"numpy", "cryptography"},
    "fedapp/privacy/accounting.py": {"dp_accounting"},
    "fedapp/privacy/calibration.py": {"scipy", "fedapp.privacy"},
    "fedapp/privacy/budget.py": {"fedapp.privacy.accounting", "fedapp.errors", "fedapp.storage.files"},
    "fedapp/partner/record_privacy.py": {"numpy", "fedapp.privacy", "fedapp.data", "fedapp.config", "fedapp.storage.files"},
    "fedapp/partner/client.py": {
        *{"flwr", "numpy", "polars", "torch", "fedapp.privacy", "fedapp.partner.record_privacy"},
        *{
            "fedapp.model",
            "fedapp.data",
            "fedapp.config",
            "fedapp.errors",
            "fedapp.storage.files",
            "fedapp.seeds",
            "fedapp.evaluation.selection",
        },
        "fedapp.config_check",
    },
    "fedapp/prediction/model_folder.py": {"fedapp.errors", "fedapp.model", "fedapp.site.folder"},
    "fedapp/prediction/predict.py": {"numpy", "polars", "fedapp"},
    "fedapp/prediction/export.py": {"polars", "jinja2", "fedapp"},
    "fedapp/run_folder.py": {"fedapp.config", "fedapp.errors", "fedapp.storage.files", "fedapp.runtime.versions"},
    "fedapp/server_app.py": {"flwr", "fedapp", "strategies"},
    "fedapp/client_app.py": {"flwr", "numpy", "fedapp", "strategies"},
    "fedapp/report": {
        *{"numpy", "polars", "scipy", "rdkit", "matplotlib", "jinja2", "markupsafe", "omegaconf", "yaml"},
        *{
            "fedapp.report",
            "fedapp.errors",
            "fedapp.storage.files",
            "fedapp.storage.output",
            "fedapp.evaluation.selection",
            "fedapp.data.task_names",
        },
    },
    "fedapp/cli": {"typer", "rich", "polars", "numpy", "fedapp", "simulation", "strategies.coordinator.journal", "strategies.secagg"},
    "strategies": {"flwr", "numpy", "safetensors", "fedapp.storage.files", "fedapp.privacy", "strategies"},
    "strategies/coordinator/polling_grid.py": {"flwr", "google.protobuf"},
    "strategies/secagg": {"numpy", "cryptography", "strategies.secagg"},
    "simulation": {"numpy", "polars", "torch", "fedapp", "strategies", "simulation"},
    "simulation/audit": {"numpy", "polars", "torch", "scipy", "rdkit", "safetensors", "fedapp", "strategies", "simulation"},
    "simulation/workers.py": {"torch", "threadpoolctl", "fedapp.runtime.processes"},
    "simulation/benchmarks/secagg.py": {"numpy", "cryptography", "fedapp", "strategies", "simulation"},
    "simulation/benchmarks/stock_secagg.py": {"flwr", "numpy", "simulation"},
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
