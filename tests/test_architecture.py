"""The layout as a rule: which room stands on which, who may use which library, and what the coordinator's code cannot even name."""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("fedapp", "strategies", "simulation")

# From the ground up. A room imports from the floors below its own, and nothing from its own floor but itself.
FLOORS = (
    {"fedapp.errors", "fedapp.partner_folder", "fedapp.seeds", "fedapp.wording", "strategies.plain_messages", "strategies.secagg"},
    {"fedapp.storage", "strategies.message_records"},
    {"fedapp.evaluation"},
    {"fedapp.config", "fedapp.privacy", "fedapp.runtime", "strategies.update"},
    {"fedapp.chemistry", "fedapp.run_folder", "strategies.coordinator", "strategies.partner"},
    {"fedapp.data"},
    {"fedapp.model", "fedapp.report"},
    {"fedapp.consortium"},
    {"fedapp.site"},
    {"fedapp.coordinator", "fedapp.partner", "fedapp.prediction", "fedapp.site.kit", "fedapp.site.status"},
    {"fedapp.client_app", "fedapp.server_app", "fedapp.site.doctor", "simulation"},
    {"fedapp.site.run", "simulation.audit", "simulation.benchmarks", "simulation.results"},
    {"fedapp.cli"},
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
SAME_ROOM = {"simulation.audit.attacks": "simulation.audit"}

# Room or module -> libraries that it may use; the standard library is free.
LIBRARIES = {
    "fedapp.chemistry": {"rdkit", "numpy"},
    "fedapp.cli": {"rich", "typer"},
    "fedapp.client_app": {"flwr"},
    "fedapp.config": {"omegaconf", "yaml"},
    "fedapp.consortium": {"cryptography", "omegaconf"},
    "fedapp.coordinator": {"flwr"},
    "fedapp.data": {"numpy", "polars", "rdkit"},
    "fedapp.evaluation": {"numpy", "polars", "scipy"},
    "fedapp.model": {"numpy", "polars", "safetensors", "scipy", "torch"},
    "fedapp.model.trunk_shape": set(),
    "fedapp.partner": {"flwr", "numpy", "polars", "torch"},
    "fedapp.prediction": {"jinja2", "numpy", "polars"},
    "fedapp.privacy": {"numpy"},
    "fedapp.privacy.accounting": {"dp_accounting"},
    "fedapp.privacy.calibration": {"scipy"},
    "fedapp.privacy.noise": {"cryptography", "numpy"},
    "fedapp.report": {"jinja2", "matplotlib", "numpy", "omegaconf", "polars", "rdkit", "scipy", "yaml"},
    "fedapp.runtime": {"flwr", "httpx", "packaging", "psutil", "tomli_w"},
    "fedapp.server_app": {"flwr"},
    "fedapp.site": {"httpx", "numpy", "omegaconf"},
    "fedapp.site.doctor": {"cryptography", "httpx", "numpy", "packaging", "psutil"},
    "fedapp.site.kit": {"jinja2"},
    "fedapp.site.run": {"cryptography", "flwr", "httpx", "starlette", "uvicorn"},
    "fedapp.site.status": {"jinja2", "numpy", "polars", "prometheus_client", "safetensors", "starlette", "uvicorn"},
    "fedapp.storage": {"omegaconf", "yaml"},
    "fedapp.storage.sealed_array": {"numpy"},
    "fedapp.storage.sealed_table": {"polars"},
    "simulation": {"numpy", "polars", "sklearn", "threadpoolctl", "torch"},
    "simulation.audit": {"numpy", "polars", "rdkit", "safetensors", "scipy", "torch"},
    "simulation.benchmarks": {"cryptography", "flwr", "numpy", "polars", "sklearn", "torch"},
    "simulation.results": {"jinja2", "numpy", "polars", "psutil", "scipy", "torch", "typer"},
    "strategies.coordinator": {"flwr", "google", "numpy"},
    "strategies.message_records": {"flwr", "numpy"},
    "strategies.partner": {"flwr", "numpy"},
    "strategies.secagg": {"cryptography", "numpy"},
    "strategies.update": {"numpy", "safetensors"},
    "strategies.update.leakage": {"numpy", "scipy"},  # connected components
    "strategies.update.regression": {"numpy", "scipy"},  # sparse matrices, Cholesky
}

# Flower's public API; what lies below it may change with any version, and is taken from one module of ours.
FLOWER = {
    *("flwr.app", "flwr.client", "flwr.client.mod", "flwr.clientapp", "flwr.clientapp.typing", "flwr.common", "flwr.serverapp"),
    *("flwr.server", "flwr.server.strategy", "flwr.server.workflow", "flwr.serverapp.strategy", "flwr.simulation"),
}
FLOWER_INTERNALS = "fedapp.runtime.flower_internals"
# `strategies` stand above no room of the app: of the Grid, which is public, they name two types of abstract methods, for mypy alone.
FLOWER_TYPES = {"strategies.coordinator.polling_grid": {"flwr.proto.node_pb2.NodeInfo", "flwr.supercore.run.Run"}}

# Modules that make, hold or open a partner's secrets, and the names by which others could.
SECRETS = {f"strategies.secagg.{name}" for name in ("consistency", "handover", "masking", "participant", "rehearsal", "session", "state")}
PRIVATE_NAMES = {"Identity", "load_identity"}
COORDINATORS = ("strategies.coordinator", "strategies.secagg.coordinator", "strategies.secagg.collection")  # what comes with them, too
COORDINATORS_APP = ("fedapp.coordinator", "fedapp.server_app")
OUTSIDE_WORLD = {"asyncio", "datetime", "io", "logging", "os", "pathlib", "random", "secrets", "socket", "subprocess", "tempfile", "time"}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


@cache
def imported(module: str) -> set[str]:
    """What a module imports, anywhere in it, as `package.module.name`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def known(name: str) -> str:
    """The module of ours that holds a name; empty for one of a library."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name if name not in PACKAGES else ""


def room_of(module: str) -> str:
    """The room that a module stands in: the package around it, or the module itself where it stands in `fedapp/` or `strategies/`."""
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    room = module if package in ("fedapp", "strategies") else package
    return SAME_ROOM.get(room, room)


@cache
def neighbours(module: str) -> set[str]:
    """Modules of ours that a module imports."""
    return {known(name) for name in imported(module)} - {"", module}


@cache
def within_reach(module: str) -> set[str]:
    """Modules of ours that are loaded with a module, itself among them."""
    reached, new = set(), {module}
    while new:
        reached |= new
        new = set().union(*map(neighbours, new)) - reached
    return reached


def modules_in(part: str) -> list[str]:
    return [module for module in MODULES if module == part or module.startswith(f"{part}.")]


ROOMS = sorted({room_of(module) for module in MODULES} - set(PACKAGES) | {"simulation"})


def test_every_room_has_its_floor_and_its_line_of_what_lives_there() -> None:
    assert set(ROOMS) == set(FLOOR_OF)
    for path in MODULES.values():
        if path.name == "__init__.py":
            assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path.relative_to(ROOT)} says nothing of its room"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_stands_on_the_floors_below_it(room: str) -> None:
    for module in (module for module in MODULES if room_of(module) == room):
        for other in neighbours(module):
            below = FLOOR_OF[room_of(other)] < FLOOR_OF[room]
            assert below or room_of(other) == room, f"{module} may not import {other}"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_uses_only_its_own_libraries(room: str) -> None:
    for module in (module for module in MODULES if room_of(module) == room):
        allowed = LIBRARIES.get(module, LIBRARIES.get(room, set()))
        used = {name.split(".")[0] for name in imported(module)} - set(PACKAGES) - set(sys.stdlib_module_names)
        assert used <= allowed, f"{module} uses {used - allowed}"


@pytest.mark.parametrize("module", sorted(module for module in MODULES if any(name.startswith("flwr") for name in imported(module))))
def test_what_flower_does_not_promise_is_taken_from_one_module(module: str) -> None:
    below = {name for name in imported(module) if name.startswith("flwr") and name.rpartition(".")[0] not in FLOWER}
    assert below == FLOWER_TYPES.get(module, set()) or module == FLOWER_INTERNALS


def test_private_attributes_of_flower_are_touched_in_that_module_alone() -> None:
    for module, path in MODULES.items():
        words = {node.value for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Constant)}
        assert module == FLOWER_INTERNALS or not words & {"_message_id", "_task_id", "_run_id", "_node_id"}, module
        assert module == FLOWER_INTERNALS or not any(name.endswith(".TaskIdentity") for name in imported(module)), module


def test_no_module_loads_itself_by_a_detour() -> None:
    for module in MODULES:
        assert module not in set().union(*map(within_reach, neighbours(module))), module


@pytest.mark.parametrize("part", [*COORDINATORS, *COORDINATORS_APP])
def test_nothing_of_the_coordinators_can_name_a_secret_of_a_partners(part: str) -> None:
    for module in modules_in(part):
        loaded = within_reach(module) if part in COORDINATORS else neighbours(module)
        assert not loaded & SECRETS, module
        assert not {name.rpartition(".")[2] for name in imported(module)} & PRIVATE_NAMES, module


def test_coordinator_and_partner_never_meet_in_code() -> None:
    for one, other in (("strategies.coordinator", "strategies.partner"), ("strategies.partner", "strategies.coordinator")):
        for module in modules_in(one):
            assert not within_reach(module) & set(modules_in(other)), module


def test_strategies_take_nothing_of_the_app_but_how_files_are_kept() -> None:
    for module in modules_in("strategies"):
        ours = {other for other in neighbours(module) if other.startswith(("fedapp", "simulation"))}
        assert {room_of(other) for other in ours} <= {"fedapp.partner_folder", "fedapp.storage"}, module


def test_the_protocol_knows_no_clock_no_file_no_network_and_no_randomness_of_its_own() -> None:
    for module in modules_in("strategies.secagg"):
        assert not {name.split(".")[0] for name in imported(module)} & OUTSIDE_WORLD, module
