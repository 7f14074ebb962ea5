"""How the tests are run, and what several share: where the real data lie."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from random import SystemRandom
from typing import Any

import pytest
from hypothesis import settings

from tests.helpers.sweeps import DRAWN, EFFORT, EXAMPLES, STEPS

for threads in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(threads, "1")  # each worker has one core

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("POLYPHONY_DATA", ROOT.parent / "shared" / "data"))
SEED = "sweep seed"
SLOW = ("flower", "sites")  # marks of tests that start processes of their own

settings.register_profile("full", deadline=None, stateful_step_count=30)  # a busy machine is no fault of the code
settings.register_profile("few", settings.get_profile("full"), max_examples=EXAMPLES, stateful_step_count=STEPS)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="try all of every sweep, and run the tests that start processes, too")
    parser.addoption("--sweep-seed", type=int, help="what is drawn of every sweep without --full; a run prints its own")


def pytest_configure(config: pytest.Config) -> None:
    drawn, given = SystemRandom().randrange(1_000_000), config.option.sweep_seed
    EFFORT.full, EFFORT.seed = config.option.full, getattr(config, "workerinput", {}).get(SEED, drawn if given is None else given)
    settings.load_profile("full" if EFFORT.full else "few")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Workers draw from one seed, since all must collect the same tests."""
    node.workerinput[SEED] = EFFORT.seed


def pytest_report_header(config: pytest.Config) -> str:
    if EFFORT.full:
        return "sweeps: all of each"
    return f"sweeps: both ends of each and {DRAWN} in between, drawn with --sweep-seed={EFFORT.seed}; --full runs everything"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what starts processes, unless it is asked for; it comes first where it runs, since nothing else takes so long."""
    slow = [item for item in items if any(item.get_closest_marker(name) for name in SLOW)]
    quick = [item for item in items if not any(item.get_closest_marker(name) for name in SLOW)]
    if EFFORT.full or any(name in config.option.markexpr for name in SLOW):
        items[:] = [*slow, *quick]
    else:
        config.hook.pytest_deselected(items=slow)
        items[:] = quick


@pytest.fixture(autouse=True, scope="session")
def no_waiting_for_disks() -> Iterator[None]:
    """Files are written without waiting for the disk, which only a power cut could tell apart; with --full as ever."""
    with pytest.MonkeyPatch.context() as patch:
        if not EFFORT.full:
            patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command that was run in this process says how much is logged; the tests after it must not hear of that."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets; the test is skipped where there is none."""
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA}; set POLYPHONY_DATA")
    return DATA
