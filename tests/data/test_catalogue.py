"""The catalogue of common endpoints: what a file of it must be, what it stands for, and which tasks have a slot in it."""

import json
from dataclasses import replace
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.config import load_config
from fedapp.data.catalogue import (
    Catalogue,
    Declaration,
    Endpoint,
    catalogue_of,
    is_name,
    other_unit,
    read_catalogue,
    slots_of,
    units_of,
    write_catalogue,
)
from fedapp.errors import ConfigError
from fedapp.wording import readings

HERG = "- {id: hERG, measures: block of the hERG channel, unit: p, thresholds: [6, 5.0]}"
AMES = "- {id: Ames, measures: mutagenicity, unit: label}"
PKI = "- {id: pKi, measures: affinity for the channel, unit: p, thresholds: [3], value: true, centre: 2, scale: 1.5}"


def written(path: Path, *entries: str) -> Path:
    path.write_text("\n".join(["endpoints:", *entries]) + "\n", encoding="utf-8")
    return path


def tasks(*rows: tuple[str, float | None], kinds: tuple[str, ...] | None = None) -> pl.DataFrame:
    """A tasks table of groups and thresholds."""
    table = pl.DataFrame(rows, schema={"group": pl.String, "threshold": pl.Float32}, orient="row")
    return table if kinds is None else table.with_columns(pl.Series("kind", kinds))


# The file


def test_a_catalogue_is_a_list_of_endpoints_whose_slots_are_in_order_of_id_and_threshold(tmp_path: Path) -> None:
    catalogue = read_catalogue(written(tmp_path / "c.yaml", PKI, HERG, AMES))
    assert [endpoint.id for endpoint in catalogue.endpoints] == ["Ames", "hERG", "pKi"]
    assert catalogue.slots == (("Ames", None), ("hERG", 5.0), ("hERG", 6.0), ("pKi", 3.0), ("pKi", None))
    assert catalogue.by_id["pKi"] == Endpoint("pKi", "affinity for the channel", "p", (3.0,), True, 2.0, 1.5)


def test_the_digest_is_of_what_a_file_says_and_not_of_how_it_is_written(tmp_path: Path) -> None:
    digests = {read_catalogue(written(tmp_path / "c.yaml", *order)).digest for order in permutations([PKI, HERG, AMES])}
    (tmp_path / "c.yaml").write_text(
        "# ours\nendpoints:\n- id: hERG\n  thresholds: [5, 6]\n  unit: p\n  measures: 'block of the hERG channel'\n"
        f"{AMES}\n{PKI.replace('[3]', '[3.0]')}\n"
    )
    assert digests == {read_catalogue(tmp_path / "c.yaml").digest}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("id: hERG", "id: HERG"),
        ("channel", "current"),
        ("[6, 5.0]", "[6]"),
        ("[6, 5.0]", "[6, 5.1]"),
        ("unit: label", "unit: '%', thresholds: [50]"),
        ("centre: 2", "centre: 2.5"),
        ("scale: 1.5", "scale: 1"),
        ("value: true, centre: 2, scale: 1.5", "value: false"),
    ],
)
def test_whatever_an_endpoint_is_changes_the_digest(old: str, new: str, tmp_path: Path) -> None:
    given = [HERG, AMES, PKI]
    before = read_catalogue(written(tmp_path / "c.yaml", *given)).digest
    assert read_catalogue(written(tmp_path / "c.yaml", *(each.replace(old, new) for each in given))).digest != before


REFUSED = {
    "twice": ([HERG, AMES, HERG], "the id 'hERG' is there twice"),
    "nothing to learn": (["- {id: x, measures: y, unit: p}"], r"endpoint 1 \(x\): it has no thresholds, and value is not true"),
    "labels with a threshold": (["- {id: x, measures: y, unit: label, thresholds: [1]}"], "its unit is label, whose values are 0 and 1"),
    "a value without a scale": (["- {id: x, measures: y, unit: p, value: true, centre: 6}"], "centre and scale, .*, are not both given"),
    "a scale without a value": (["- {id: x, measures: y, unit: p, thresholds: [6], scale: 1}"], "it has scale, and value is not true"),
    "a scale of nothing": (["- {id: x, measures: y, unit: p, value: true, centre: 6, scale: 0}"], "its scale is 0.0, not above 0"),
    "a scale of next to nothing": (
        ["- {id: x, measures: y, unit: p, value: true, centre: 6, scale: 1.0e-30}"],
        "its scale 1e-30 is not within",
    ),
    "a scale beyond all values": (["- {id: x, measures: y, unit: p, value: true, centre: 6, scale: 90}"], "its scale 90 is not within"),
    "a centre in nM": (["- {id: x, measures: y, unit: p, value: true, centre: 5000, scale: 1}"], "its centre 5000 is not within -2 to 16"),
    "a unit in capitals": (["- {id: x, measures: y, unit: P, thresholds: [6]}"], r"its unit is 'P', .* one of p \(-log10 M\), %.*, label"),
    "another word for a unit": (["- {id: x, measures: y, unit: pIC50, thresholds: [6]}"], "its unit is 'pIC50', .* one of p"),
    "spaces around a unit": (["- {id: x, measures: y, unit: 'p ', thresholds: [6]}"], "its unit is 'p ', .* one of p"),
    "a unit of no dataset": (["- {id: x, measures: y, unit: foo, thresholds: [6]}"], "its unit is 'foo', .* one of p"),
    "an id in other capitals": (
        [HERG, AMES, HERG.replace("hERG", "HERG", 1)],
        "the ids 'HERG' and 'hERG' are read alike: they differ in",
    ),
    "an id with a Cyrillic letter": ([HERG, HERG.replace("hERG", "h\u0415RG", 1)], r"'hERG' and 'h\\u0415RG' are read alike: .* alphabet"),
    "an id with a Cyrillic letter in other capitals": ([HERG, HERG.replace("hERG", "H\u0435rg", 1)], r"'H\\u0435rg' and 'hERG' are read"),
    "an id with a Greek letter": ([AMES, AMES.replace("Ames", "\u0391mes")], r"'Ames' and '\\u0391mes' are read alike"),
    "an accent on a Cyrillic letter": (
        [AMES.replace("Ames", each) for each in ("Z\u00eb", "Z\u0451")],
        r"'Z\\xeb' and 'Z\\u0451' are read",
    ),
    "more spaces": ([AMES.replace("Ames", each) for each in ("h ERG", "h  ERG")], "'h  ERG' and 'h ERG' are read alike: .* spaces"),
    "a space of another kind": ([AMES.replace("Ames", each) for each in ("h ERG", "h\u2009ERG")], r"'h ERG' and 'h\\u2009ERG' are read"),
    "a dash of another kind": ([AMES.replace("Ames", each) for each in ("Nav1-5", "Nav1\u20135")], "are read alike: .* dashes"),
    "an id coded otherwise": ([AMES.replace("Ames", each) for each in ("\u00e9", "e\u0301")], r"'e\\u0301' and '\\xe9' are read alike"),
    "an id of wide letters": ([AMES, AMES.replace("Ames", "\uff21mes")], r"'Ames' and '\\uff21mes' are read alike"),
    "a number of 400 digits": (
        [f"- {{id: x, measures: y, unit: p, thresholds: [{'9' * 400}]}}"],
        r"thresholds is \[9.*, not a list of numbers",
    ),
    "a centre of 400 digits": ([PKI.replace("centre: 2", f"centre: {'9' * 400}")], "centre is 9.*, not a number"),
    "a number of 400 digits below zero": ([PKI.replace("scale: 1.5", f"scale: -{'9' * 400}")], "scale is -9.*, not a number"),
    "a number that cannot be written": (
        [f"- {{id: x, measures: y, unit: p, thresholds: [0x{'f' * 9000}]}}"],
        "thresholds is something with a number of",
    ),
    "an id that cannot be written": ([f"- {{id: 0x{'f' * 9000}, measures: y, unit: label}}"], "id is something with a number of"),
    "a line in a measure": (
        [r'- {id: x, measures: "y\nendpoint  nothing", unit: label}'],
        r"measures is 'y\\nendpoint .*, which a terminal would not",
    ),
    "an escape in a measure": ([r'- {id: x, measures: "y\e[2K", unit: label}'], r"measures is 'y\\x1b\[2K', which a terminal would not"),
    "a turn of direction": ([r'- {id: x, measures: "y\u202e", unit: label}'], r"measures is 'y\\u202e', which a terminal would not"),
    "half a character": ([r'- {id: x, measures: "y\ud800", unit: label}'], "c.yaml: "),
    "an escape in a unit": ([r'- {id: x, measures: y, unit: "label\e[2K"}'], r"unit is 'label\\x1b\[2K', which a terminal would not"),
    "an id that nobody sees": ([r'- {id: "x\u200b", measures: y, unit: label}'], r"id is 'x\\u200b', which a terminal would not"),
    "a threshold in nM": (["- {id: x, measures: y, unit: p, thresholds: [6, 1000]}"], "its threshold 1000 is not .*: for 1000 nM write 6"),
    "a threshold beyond %": (["- {id: x, measures: y, unit: '%', thresholds: [5000]}"], "its threshold 5000 is not within -1000 to 1000"),
    "a unit of concentrations": (["- {id: x, measures: y, unit: nM, thresholds: [6]}"], "its unit is nM: .* write p"),
    "no number": (["- {id: x, measures: y, unit: p, thresholds: [.nan]}"], "nan is no number within"),
    "no end": (["- {id: x, measures: y, unit: p, thresholds: [.inf]}"], "inf is no number within"),
    "a threshold twice": (["- {id: x, measures: y, unit: p, thresholds: [6.7, 6.7000000001]}"], "thresholds .* name one twice"),
    "text for a number": (["- {id: x, measures: y, unit: p, thresholds: [six]}"], "thresholds is .*six.*, not a list of numbers"),
    "a number for text": (["- {id: 007, measures: y, unit: p, thresholds: [6]}"], "endpoint 1: id is 7, not text"),
    "no word of what it is": ([HERG, "- {id: x, unit: p, thresholds: [6]}"], r"endpoint 2 \(x\): measures is None, not text"),
    "an empty id": (["- {id: ' ', measures: y, unit: p, thresholds: [6]}"], "its id is empty"),
    "a name for nothing": (["- {id: 'NA', measures: y, unit: p, thresholds: [6]}"], "its id is 'NA', which a table of .* cannot hold"),
    "spaces around it": (["- {id: 'x ', measures: y, unit: p, thresholds: [6]}"], "its id is 'x ', which a table of .* cannot hold"),
    "an unknown key": (["- {id: x, measures: y, unit: p, threshold: 6}"], r"endpoint 1 \(x\): there is no key 'threshold', but thresholds"),
    "a key twice": (["- {id: x, measures: y, id: z, unit: p, thresholds: [6]}"], "the key 'id' is there twice"),
    "no entry": (["- hERG"], "endpoint 1: 'hERG' is no entry"),
    "no endpoint": (["  []"], "it names no endpoint"),
    "no list": (["  hERG: {unit: p}"], "it has no list `endpoints:`"),
    "no YAML": (["- {id: x"], "c.yaml"),
}


@pytest.mark.parametrize("number", ["1e0", "1.e0", "+1", ".1e1", "10E-1", "'1e0'", "1.0e+0", "1"])
def test_a_number_is_one_however_people_write_it(number: str, tmp_path: Path) -> None:
    plain = read_catalogue(written(tmp_path / "plain.yaml", PKI.replace("[3]", "[1.0]").replace("scale: 1.5", "scale: 1.0")))
    entry = PKI.replace("[3]", f"[{number}]").replace("scale: 1.5", f"scale: {number}")
    assert read_catalogue(written(tmp_path / "c.yaml", entry)) == plain


@pytest.mark.parametrize(
    "text", ["nan", "inf", "-Infinity", "1e999", "1_0e1", "one", "1,5", "1e", "e1", "0x1p3", "1e1 nM", "''", "\u0661e\u0661"]
)
def test_text_that_says_no_number_is_none(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="scale is .*, not a number"):
        read_catalogue(written(tmp_path / "c.yaml", PKI.replace("scale: 1.5", f"scale: {text if ',' not in text else repr(text)}")))


def test_text_that_looks_like_a_number_stays_text_where_text_is_asked(tmp_path: Path) -> None:
    assert read_catalogue(written(tmp_path / "c.yaml", HERG.replace("hERG", "1e5", 1))).endpoints[0].id == "1e5"


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_may_be_misunderstood_is_refused_by_its_name_with_what_is_wrong(name: str, tmp_path: Path) -> None:
    entries, reason = REFUSED[name]
    with pytest.raises(ConfigError, match=reason) as caught:
        read_catalogue(written(tmp_path / "c.yaml", *entries))
    assert str(tmp_path / "c.yaml") in str(caught.value) and caught.value.hint


@pytest.mark.parametrize(
    "text", ["", "endpoints:\n", "- 1\n", "other: 1\n", f"endpoints:\n{HERG}\nmore: 1\n", "\x00", "endpoints: &a [*a]\n"]
)
def test_a_file_of_another_form_is_refused_by_its_name(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"c\.yaml: "):
        read_catalogue(tmp_path / "c.yaml")


def test_a_missing_file_a_folder_and_one_that_is_no_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no file .*c\.yaml, the catalogue") as caught:
        read_catalogue(tmp_path / "c.yaml")
    assert caught.value.hint.startswith("tasks.catalogue is the path of a YAML file")
    with pytest.raises(ConfigError, match="no file, but a folder: .*, the catalogue"):
        read_catalogue(tmp_path)
    (tmp_path / "c.yaml").write_bytes(b"endpoints:\n- {id: \xff}\n")
    with pytest.raises(ConfigError, match=r"c\.yaml: "):
        read_catalogue(tmp_path / "c.yaml")


words = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff"), min_size=1).filter(is_name)
numbers = st.floats(-100, 100, width=32)
endpoints = st.one_of(
    st.builds(Endpoint, words, words, st.just("label")),
    st.builds(Endpoint, words, words, st.just("%"), st.lists(numbers, min_size=1, unique=True).map(tuple)),
    st.builds(Endpoint, words, words, st.just("%"), st.just(()), st.just(True), numbers, st.floats(0.125, 8, width=32)),
)


def told_apart(held: list[Endpoint]) -> bool:
    return all(readings(one.id).isdisjoint(readings(other.id)) for one, other in combinations(held, 2))


catalogues = st.lists(endpoints, min_size=1, max_size=5).filter(told_apart).map(lambda held: Catalogue(tuple(held)))


@given(catalogue=catalogues)
def test_what_is_written_is_read_back(catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "catalogue.yaml"
    write_catalogue(path, catalogue)
    again = read_catalogue(path)
    assert again.digest == catalogue.digest
    assert again.slots == catalogue.slots
    assert list(catalogue.slots) == sorted(catalogue.slots, key=lambda slot: (slot[0], slot[1] is None, slot[1] or 0.0))


def test_a_catalogue_of_thousands_of_endpoints_is_read(tmp_path: Path) -> None:
    catalogue = Catalogue(tuple(Endpoint(f"target {number}", "potency", "p", (5.5, 6.5, 7.5)) for number in range(3000)))
    write_catalogue(tmp_path / "c.yaml", catalogue)
    assert len(read_catalogue(tmp_path / "c.yaml").slots) == 9000


# Of an experiment


def test_an_experiment_without_a_catalogue_has_an_empty_one_and_the_groups_of_tasks_are_for_simulations_to_know() -> None:
    assert catalogue_of(load_config()).slots == ()
    with pytest.raises(ConfigError, match=r"tasks\.catalogue is groups"):
        catalogue_of(load_config(None, ("tasks.catalogue=groups",)))


def test_a_catalogue_that_was_changed_is_read_anew(tmp_path: Path) -> None:
    config = load_config(None, (f"tasks.catalogue={written(tmp_path / 'c.yaml', HERG)}",))
    assert len(catalogue_of(config).slots) == 2
    written(tmp_path / "c.yaml", HERG, AMES, PKI)
    assert len(catalogue_of(config).slots) == 5


# Slots of tasks


CATALOGUE = Catalogue((Endpoint("hERG", "block", "p", (6.7, 5.0)), Endpoint("Ames", "mutagenicity", "label")))
VALUES = Catalogue((Endpoint("pKi", "affinity", "p", (3.0,), True, 2.0, 1.5), Endpoint("sol", "solubility", "p", (4.0,))))


def test_a_task_has_the_slot_of_what_its_group_is_declared_to_be_at_its_own_threshold() -> None:
    given = tasks(("patch clamp", 5.0), ("patch clamp", 6.7), ("patch clamp", 7.5), ("TA98", None), ("other", 5.0))
    found = slots_of(given, CATALOGUE, {"patch clamp": Declaration("hERG"), "TA98": Declaration("Ames")})
    assert found.tolist() == [1, 2, -1, 0, -1] and found.dtype == np.int32


def test_two_groups_may_be_one_endpoint_and_without_a_declaration_a_name_means_nothing() -> None:
    given = tasks(("one", 5.0), ("two", 5.0), ("hERG", 5.0))
    assert slots_of(given, CATALOGUE, {"one": Declaration("hERG"), "two": Declaration("hERG")}).tolist() == [1, 1, -1]
    assert slots_of(given, CATALOGUE, CATALOGUE.by_name | {"one": Declaration("hERG")}).tolist() == [1, -1, 1]


def test_of_a_group_only_those_tasks_that_are_declared_have_a_slot() -> None:
    given = tasks(("patch clamp", 5.0), ("patch clamp", 6.7), ("patch clamp", 7.5))
    for only, expected in (([5.0], [1, -1, -1]), ([6.7, 7.5], [-1, 2, -1]), ([None], [-1, -1, -1])):
        assert slots_of(given, CATALOGUE, {"patch clamp": Declaration("hERG", frozenset(only))}).tolist() == expected
    given = tasks(("a", 3.0), ("a", None), kinds=("classification", "regression"))
    for only, expected in (([3.0], [0, -1]), ([None], [-1, 1]), ([None, 3.0], [0, 1])):
        assert slots_of(given, VALUES, {"a": Declaration("pKi", frozenset(only))}).tolist() == expected


def test_a_task_of_values_and_one_of_labels_never_share_a_head() -> None:
    given = tasks(("a", 3.0), ("a", None), ("a", None), kinds=("classification", "regression", "classification"))
    assert slots_of(given, VALUES, {"a": Declaration("pKi")}).tolist() == [0, 1, -1]
    assert slots_of(given, VALUES, {"a": Declaration("sol")}).tolist() == [-1, -1, -1]
    assert slots_of(given, CATALOGUE, {"a": Declaration("Ames")}).tolist() == [-1, -1, 0]


def test_a_group_and_an_endpoint_in_another_unit_do_not_go_together() -> None:
    endpoint = CATALOGUE.by_id["hERG"]
    assert other_unit("patch clamp", {"%"}, endpoint) == "patch clamp is measured in %, and hERG in p"
    assert other_unit("patch clamp", {"p", "label"}, endpoint) == ""


def test_a_task_in_another_unit_than_its_endpoint_has_no_slot() -> None:
    given = tasks(("a", 3.0), ("a", None), ("a", 3.0), ("a", None), kinds=("classification", "regression") * 2)
    given = given.with_columns(pl.Series("unit", ["%", "%", "p", "p"]))
    assert slots_of(given, VALUES, {"a": Declaration("pKi")}).tolist() == [-1, -1, 0, 1]


def test_a_declaration_to_what_the_catalogue_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="'a' is declared to be 'herg', which the catalogue does not have"):
        slots_of(tasks(("a", 5.0)), CATALOGUE, {"a": Declaration("herg")})


@given(st.lists(numbers, min_size=1, max_size=6, unique=True))
def test_every_slot_is_found_by_its_own_threshold_as_datasets_keep_it(thresholds: list[float]) -> None:
    catalogue = Catalogue((Endpoint("x", "y", "%", tuple(thresholds)),))
    given = tasks(*(("x", threshold) for threshold in thresholds)).with_columns(unit=pl.lit("%"))
    assert [catalogue.slots[slot][1] for slot in slots_of(given, catalogue, catalogue.by_name)] == thresholds


def test_units_are_those_of_the_table_or_follow_from_thresholds() -> None:
    given = tasks(("a", 5.0), ("b", None))
    assert units_of(given) == ["p", "label"]
    assert units_of(given.with_columns(pl.Series("unit", ["%", "label"]))) == ["%", "label"]
    assert units_of(given.with_columns(pl.Series("kind", ["classification", "regression"]))) == ["p", "p"]


def test_the_digest_is_of_plain_json_that_anybody_can_make(tmp_path: Path) -> None:
    import hashlib

    said = {"id": "a", "measures": "b", "unit": "p", "thresholds": [5.0], "value": False, "centre": None, "scale": None}
    expected = hashlib.sha256(json.dumps([said], sort_keys=True).encode()).digest()
    one = Endpoint("a", "b", "p", (5.0,))
    assert Catalogue((one,)).digest == expected != Catalogue((replace(one, measures="c"),)).digest
