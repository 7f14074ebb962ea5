"""Whether the simulated partners' groups match the catalogue, told before anybody trains."""

from pathlib import Path

import pytest

from fedapp.config import load_config
from fedapp.run_folder import RunFolder
from simulation.common_endpoints import EACH, CommonEndpoints, in_short
from simulation.experiment import tell_endpoints
from simulation.preparation import prepare_partners
from tests.data.tables import write_tables

ENDINGS = {"alpha": "O", "beta": "N", "gamma": "F", "delta": "Cl"}
ASSAYS = {"alpha": ["hERG", "solo"], "beta": ["hERG", "pair"], "gamma": ["hERG", "pair"], "delta": ["other {hERG}"]}
CATALOGUE = """endpoints:
- {id: hERG, measures: block, unit: p, thresholds: [6.5]}
- {id: pair, measures: what two have, unit: p, thresholds: [6.5]}
- {id: KCNH2, measures: what nobody calls so, unit: p, thresholds: [6.5]}
- {id: solo, measures: at a threshold that nobody has, unit: p, thresholds: [3.0]}
"""


class Told(list[str]):
    """A display that keeps what is to stay on the screen."""

    def stage(self, text: str) -> None:
        pass

    def advance_preparation(self, done: int, total: int) -> None:
        pass

    def event(self, arm: str, partner: str | None, number: int, loss: float | None = None, score: float | None = None) -> None:
        pass

    def tell(self, text: str) -> None:
        self.append(text)


def told(folder: Path, catalogue: str | None, *overrides: str) -> tuple[RunFolder, list[str]]:
    """What a run of four partners says of its endpoints."""
    for name, assays in ASSAYS.items():
        compounds = [f"{number},{'C' * number}{ENDINGS[name]}" for number in range(1, 25)]
        rows = [f"{assay},{number},{4 + number % 2 * 4},=,p" for assay in assays for number in range(1, 25)]
        write_tables(folder / name, compounds, rows)
    tables = f"data.tables=[{','.join(str(folder / name) for name in ASSAYS)}]"
    words = ("chemistry.bits=2048", "tasks.min_per_class=1", "privacy.endpoint_labels=1", f"runs={folder}", tables, *overrides)
    if catalogue is not None:
        (folder / "ours.yaml").write_text(catalogue)
        words = (*words, f"tasks.catalogue={folder / 'ours.yaml'}")
    run, display = RunFolder.create(folder / "run", load_config(None, words), "simulate"), Told()
    tell_endpoints(run, prepare_partners(run, display.stage, display.advance_preparation), display)
    return run, display


def test_each_endpoint_is_told_with_its_partners_and_one_that_fewer_than_three_or_nobody_measures_with_a_warning(tmp_path: Path) -> None:
    run, lines = told(tmp_path, CATALOGUE)
    assert lines[:4] == [
        "endpoint KCNH2: 0 of 4 partners measure it",
        "endpoint hERG: 3 of 4 partners measure it",
        "endpoint pair: 2 of 4 partners measure it",
        "endpoint solo: 0 of 4 partners measure it",
    ]
    nobody, few = lines[4:]
    assert nobody.startswith("warning: no partner measures KCNH2, solo: ")
    assert nobody.endswith("the partners' groups are hERG, other {hERG}, pair, solo")
    assert few == "warning: fewer than 3 partners measure pair, so that nothing of it is shared"
    assert run.status()["common_endpoints"] == {"endpoints": 4, "shared": 1, "heads": 1, "fewest": 3, "most": 3}


def test_a_catalogue_that_matches_is_told_without_a_warning_and_without_one_nothing_is(tmp_path: Path) -> None:
    assert told(tmp_path / "a", CATALOGUE[: CATALOGUE.index("- {id: pair")])[1] == ["endpoint hERG: 3 of 4 partners measure it"]
    run, lines = told(tmp_path / "b", None)
    assert lines == [] and "common_endpoints" not in run.status()


def test_an_endpoint_of_which_too_few_have_labels_enough_is_warned_of(tmp_path: Path) -> None:
    _, lines = told(tmp_path, CATALOGUE[: CATALOGUE.index("- {id: pair")], "privacy.endpoint_labels=1000")
    assert lines[1:] == ["warning: fewer than 3 partners have privacy.endpoint_labels = 1,000 training compounds, of both classes, of hERG"]


@pytest.mark.parametrize("number", [EACH, EACH + 1])
def test_many_endpoints_are_told_in_short(number: int) -> None:
    names = [f"target {place:02d}" for place in range(number)]
    common = CommonEndpoints(8, dict.fromkeys(names, 5), dict.fromkeys(names, (3, 5)), frozenset(names), 3)
    lines = common.lines(50)
    assert lines == [f"{number} endpoints of the catalogue: {number} shared, each head by 3 to 5 of 8 partners"] or len(lines) == number
    assert (len(lines) == 1) == (number > EACH)
    assert in_short(names) == f"target 00, target 01, target 02, target 03, target 04 and {number - 5} more"
