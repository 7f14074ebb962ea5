"""Every figure of an audit has a name in words."""

import re

import pytest

from fedapp.report.audit_words import ENDINGS, OTHER_SUBJECT, SUBJECTS, TITLES, subject, title
from tests.test_architecture import ROOT

NAMES = re.compile(r'(?:\bname=|\bNAME = |MembershipAttack\(\s*|way\(\s*)"([a-z_]+)"')


def named_by_attacks() -> set[str]:
    """Names of findings as the attacks write them."""
    return {name for path in (ROOT / "simulation/audit").rglob("*.py") for name in NAMES.findall(path.read_text(encoding="utf-8"))}


def test_every_finding_that_an_attack_names_has_words_and_stands_under_a_heading() -> None:
    names = named_by_attacks()
    assert len(names) > 15, "the attacks write their names otherwise than they did"
    assert names <= TITLES.keys()
    assert all(subject(name) != OTHER_SUBJECT for name in TITLES)


def test_no_two_names_read_alike_and_none_reads_as_code() -> None:
    assert len(set(TITLES.values())) == len(TITLES)
    assert not any("_" in words for words in (*TITLES.values(), *ENDINGS.values(), *SUBJECTS))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("membership_trunk_rounds", "Who was trained on, by a partner that keeps the trunks of all rounds"),
        ("membership_trunk_auc", "Who was trained on, by a partner that has the last trunk: told from one that was not"),
        ("membership_lira_inactive", "Who was trained on, by an outsider that sees how sure a model is: without an active label"),
        ("something_new", "something new"),
        ("something_rare", "something rare"),
    ],
)
def test_a_name_is_told_in_words_and_an_unknown_one_with_blanks(name: str, words: str) -> None:
    assert title(name) == words


def test_an_attack_that_nobody_foresaw_stands_under_a_heading_of_its_own() -> None:
    assert subject("something_new") == OTHER_SUBJECT
