"""Every file of a partner's site, damaged in every way: status and checks say so, and neither ends in anything but words."""

from pathlib import Path
from random import Random

import pytest

from fedapp.consortium.identity_files import new_identity
from fedapp.consortium.policy_file import read_policy_file, write_policy_file
from fedapp.errors import PolyphonyError
from fedapp.site.accept import accept, check_data, check_state
from fedapp.site.doctor import checks
from fedapp.site.doctor.examine import made
from fedapp.site.folder import Site
from fedapp.site.status.site_status import coordinator_status, partner_status
from tests.helpers.damage import damages, replaced, told
from tests.helpers.small_run import write_dataset
from tests.site import saved_site
from tests.site.saved_site import Made

CHECKS_OF = {  # by folder; status reads the others
    "site": (checks.roster, checks.identity, checks.node_key, checks.policy, checks.dataset),
    "keys": (checks.identity, checks.node_key),
    "dataset": (checks.dataset,),
    "state": (checks.state,),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A partner's site after three rounds, with data and keys."""
    folder = tmp_path_factory.mktemp("sites")
    made = saved_site.fresh(folder / "site")
    new_identity(made.keys)
    accept(made, write_dataset(folder / "data", "Birch").directory)
    made = Site.open(made.path)
    check_state(made)
    saved_site.rounds_at(made, Made(2))
    saved_site.beat(made)
    return made


def test_status_and_checks_tell_what_they_can_of_a_site_with_any_damaged_file(site: Site) -> None:
    random = Random(21)
    for path in sorted(path for path in site.path.rglob("*") if path.is_file()):
        if (path.parent.name == "dataset" and path.name != "x_indices.npy") or path.stem == "round-0002":
            continue  # see tests/data/test_integrity.py; one round is like another
        for what, content in damages(path.read_bytes(), random, flips=1):
            with replaced(path, content):
                opened, error = told(lambda: Site.open(site.path))
                assert opened or "site.yaml" in error
                problems = partner_status(opened)["problems"] if opened and path.parent.name not in ("keys", "dataset") else []
                found = [made(check, opened).told for check in CHECKS_OF.get(path.parent.name, ())] if opened else []
            where = f"{path.relative_to(site.path)} {what}"
            assert not any(text.partition(":")[0].endswith("Error") for text in found), f"{where}: {found}"
            assert all(path.name in each or "roster" in each for each in problems), f"{where}: {problems}"


@pytest.mark.parametrize(
    "name",
    [
        *("config.yaml", "policy.yaml", "consortium.yaml", "log/supernode.json", "state/requests.jsonl", "state/sums.jsonl"),
        *("state/self_audit.jsonl", "state/shared.safetensors", "state/model.json", "state/loss/round-0002.json"),
        "state/repetition.json",
        "state/metrics/round-0001.parquet",
    ],
)
def test_a_file_of_nonsense_is_a_problem_that_the_status_names(site: Site, name: str) -> None:
    with replaced(site.path / name, b"nonsense\n"):
        problems = partner_status(site)["problems"]
    assert len(problems) == 1
    assert Path(name).name in problems[0]


@pytest.mark.parametrize("name", ["site.yaml", "config.yaml", "policy.yaml", "dataset/dataset.json", "state/owner.json"])
def test_a_site_with_an_emptied_file_does_not_run_on_defaults(site: Site, name: str) -> None:
    for content in (b"", b"\n", b"{}\n"):
        with replaced(site.path / name, content), pytest.raises(PolyphonyError, match=Path(name).name):
            check_data(Site.open(site.path))
            check_state(site)


@pytest.mark.parametrize("key", ["listen", "page", "dataset", "role"])
def test_a_site_that_lost_a_line_of_its_settings_is_named_and_listens_nowhere_else(site: Site, key: str) -> None:
    path = site.path / "site.yaml"
    kept = [line for line in path.read_text().splitlines(keepends=True) if not line.startswith(f"{key}:")]
    with replaced(path, "".join(kept).encode()), pytest.raises(PolyphonyError, match=f"site.yaml lacks {key}"):
        Site.open(site.path)


def test_a_site_does_not_run_on_a_dataset_of_its_own_digest_under_another_name(site: Site) -> None:
    policy = read_policy_file(site.policy)
    other = write_dataset(site.path.parent / "other", "Alder")
    with replaced(site.path / "dataset" / "dataset.json", (other.directory / "dataset.json").read_bytes()):
        write_policy_file(site.policy, policy.__class__(**vars(policy) | {"data": other.digest}))
        with pytest.raises(PolyphonyError, match="is Alder's, and the site is Birch's, as .*site.yaml says"):
            check_data(site)
    write_policy_file(site.policy, policy)


@pytest.mark.parametrize("name", ["coordinator/journal.jsonl", "coordinator/outcome.json", "session.yaml"])
def test_a_coordinators_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    made = saved_site.fresh(tmp_path / "site", role="coordinator")
    saved_site.journal_of(made, saved_site.set_up())
    (made.path / name).write_text("nonsense\n")
    assert any(Path(name).name in problem for problem in coordinator_status(made)["problems"])
