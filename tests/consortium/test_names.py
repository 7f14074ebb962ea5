"""Names that people compare by eye: of one script, written in one way, and no two of a roster that are drawn alike."""

from pathlib import Path

import pytest

from fedapp.consortium.names import alike, fault_of
from fedapp.consortium.public_file import PublicFile
from fedapp.consortium.roster_file import Draft, add_partner, load_roster, new_consortium
from fedapp.errors import ConfigError
from strategies.secagg.identity import KEY_BYTES, PublicIdentity

GOOD = [
    *("alpha", "R&D north", "partner-1", "3M", "\u00c5ngstr\u00f6m", "\u0141\u00f3d\u017a", "\u039a\u03c1\u03ae\u03c4\u03b7"),
    *("\u041c\u043e\u0441\u043a\u0432\u0430 2", "\u6771\u4eac\u306e\u30c6\u30b9\u30c8", "\uc11c\uc6b8", "\u0627\u0644\u0641"),
]
NASTY = {
    "a Cyrillic a in a Latin name": "\u0430lpha",
    "a Greek capital in a Latin name": "\u0391lpha",
    "a Greek letter in a Cyrillic name": "\u041c\u03bfsk",
    "a Cherokee letter in a Latin name": "\u13aalpha",
    "a dotless letter of another alphabet": "alph\u04d1",
    "wide letters": "\uff41lpha",
    "mathematical letters": "\U0001d41alpha",
    "a ligature": "\ufb01rm",
    "a superscript digit": "alpha\u00b2",
    "Arabic digits in a Latin name": "alpha\u0661",
    "a letter and its accent apart": "e\u0301lan",
    "a letter that nobody sees": "al\u3164pha",
    "another that nobody sees": "al\u1160pha",
    "a space of no width": "al\u200bpha",
    "a joiner": "al\u200dpha",
    "a soft hyphen": "al\u00adpha",
    "right to left": "\u202eahpla",
    "a space that does not break": "alpha\u00a0one",
    "an apostrophe that counts as a letter": "alpha\u02bc",
    "a Roman numeral of one character": "alpha\u2163",
    "half a character": "alpha\ud800",
}
ALIKE = [
    *(("alpha", "Alpha"), ("partner-1", "partner-l"), ("partner-1", "partner-I"), ("Bayer0", "BayerO"), ("modern", "modem")),
    *(("alpha", "\u0430lpha"), ("AXON", "\u0391\u03a7\u039f\u039d"), ("cop", "\u0441\u043e\u0440"), ("ov", "\u03bf\u03bd")),
    *(("\u041c\u041e\u0421\u041a\u0412\u0410", "\u043c\u043e\u0441\u043a\u0432\u0430"), ("pik", "\u03c1\u03b9\u03ba"), ("a  b", "a b")),
]


@pytest.mark.parametrize("name", GOOD)
def test_a_name_may_be_of_any_script(name: str) -> None:
    assert fault_of(name) == ""


@pytest.mark.parametrize("name", NASTY.values(), ids=NASTY)
def test_a_name_that_could_be_read_as_another_is_in_no_roster(name: str, tmp_path: Path) -> None:
    path = tmp_path / "consortium.yaml"
    new_consortium(path, Draft("five voices"))
    before = path.read_text()
    with pytest.raises(ConfigError, match="is no name") as caught:
        add_partner(path, name, PublicFile(PublicIdentity(bytes([1]) * KEY_BYTES), None))
    assert str(caught.value).isascii(), "what it holds is shown, and not drawn"
    assert caught.value.hint
    assert path.read_text() == before
    if "\ud800" not in name:
        key = "A" * 4
        path.write_text(f'consortium: five\npartners:\n- {{index: 1, name: "{name}", key: {key}}}\n', encoding="utf-8")
        with pytest.raises(ConfigError, match=r"consortium\.yaml"):
            load_roster(path)


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_two_names_that_are_drawn_alike_are_not_in_one_roster(one: str, other: str, tmp_path: Path) -> None:
    assert alike(one, other) and alike(other, one)
    path = tmp_path / "consortium.yaml"
    new_consortium(path, Draft("five voices"))
    first, second = (PublicFile(PublicIdentity(bytes([number]) * KEY_BYTES), None) for number in (1, 2))
    add_partner(path, one, first)
    with pytest.raises(ConfigError):
        add_partner(path, other, second)


@pytest.mark.parametrize(("one", "other"), [("A1", "AL"), ("alpha", "beta"), ("north", "north 2"), ("\u0436", "x"), ("Unit 10", "Unit 11")])
def test_names_that_people_tell_apart_are(one: str, other: str) -> None:
    assert not alike(one, other)
