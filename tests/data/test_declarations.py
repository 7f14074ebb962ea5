"""Tables in which a partner declares its tasks to be endpoints."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.data.catalogue import Declaration, is_name
from fedapp.data.declarations import read_declarations, write_declarations
from fedapp.errors import DataError


@pytest.mark.parametrize(
    "text",
    [
        "group,endpoint\npatch clamp,hERG\n007,Ames\n",
        "endpoint;group\nhERG;patch clamp\n\nAmes;007\n",
        "sep=;\ngroup;endpoint\npatch clamp ; hERG\n007;Ames\n;\n",
        '\ufeff"group"\t"endpoint"\n"patch clamp"\thERG\n007\tAmes\npatch clamp\thERG\n',
    ],
)
def test_a_table_is_read_as_people_write_it(text: str, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(text, encoding="utf-8")
    assert read_declarations(tmp_path / "d.csv") == {"patch clamp": Declaration("hERG"), "007": Declaration("Ames")}


@pytest.mark.parametrize(
    "text",
    [
        "group,endpoint,thresholds\npatch clamp,hERG,5.5;6.5;value\n007,Ames,\n",
        "Threshold;endpoint;group\n5.5;hERG;patch clamp\nvalue;hERG;patch clamp\n;Ames;007\n6.50;hERG;patch clamp\n5.5;hERG;patch clamp\n",
    ],
)
def test_of_a_group_single_tasks_may_be_named_in_one_row_or_in_several(text: str, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(text)
    declared = read_declarations(tmp_path / "d.csv")
    assert declared == {"patch clamp": Declaration("hERG", frozenset([5.5, 6.5, None])), "007": Declaration("Ames")}
    write_declarations(tmp_path / "again.csv", declared)
    assert (tmp_path / "again.csv").read_text() == "group,endpoint,thresholds\n007,Ames,\npatch clamp,hERG,5.5;6.5;value\n"


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("a,hERG,\na,hERG,5.5\n", "line 3: a is declared to be hERG with all of its tasks, and with some"),
        ("a,hERG,5.5\na,hERG,\n", "line 3: a is declared to be hERG with all of its tasks, and with some"),
        ("a,hERG,5.5\na,Ames,6.5\n", "line 3: a is declared to be hERG and Ames"),
        ('a,hERG,"5,5"\n', "line 2: '5,5' is no threshold: numbers, or value, with ; between several"),
        ("a,hERG,all\n", "line 2: 'all' is no threshold"),
        *(
            (f"a,hERG,{cell}\n", f"line 2: '{cell}' is no threshold")
            for cell in ("none", "NA", "nan", "5.5;nan", "inf", "1e300", "5_5", "VALUE")
        ),
        ("a,hERG,;\n", "line 2: ';' is no threshold"),
        (",,5.5\n", "line 2: no group beside '5.5'"),
    ],
)
def test_thresholds_that_may_be_misunderstood_refuse_the_table(rows: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(f"group,endpoint,thresholds\n{rows}")
    with pytest.raises(DataError, match=reason):
        read_declarations(tmp_path / "d.csv")


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (b"a,hERG\na,Ames\n", "line 3: a is declared to be hERG and Ames"),
        (b"a,\n", "line 2: no endpoint beside 'a'"),
        (b"a,x\n,hERG\n", "line 3: no group beside 'hERG'"),
        (b"a,x\nb\n", "line 3: row has more or fewer cells than the header"),
        (b"a\xff,hERG\n", "line 2: row is not UTF-8 text"),
        (b"a,\n" * 8, "line 6: .*; and 3 more"),
    ],
)
def test_a_row_that_cannot_be_used_refuses_the_table_by_its_line_since_consent_is_not_guessed(
    rows: bytes, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "d.csv").write_bytes(b"group,endpoint\n" + rows)
    with pytest.raises(DataError, match=reason) as caught:
        read_declarations(tmp_path / "d.csv")
    assert str(tmp_path / "d.csv") in str(caught.value) and caught.value.hint


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ("group,endpoint,tresholds", "tresholds"),
        ("group,endpoint,cut-off", "cut-off"),
        ("group,endpoint,remark", "remark"),
        ("group,endpoint,thresholds,thresholds 2", "thresholds 2"),
        ("group,endpoint,,thresholds", "without a name"),
        (",group,endpoint", "without a name"),
        ("group,endpoint,thresholds,threshold", "threshold"),
    ],
)
def test_a_column_that_would_be_passed_over_refuses_the_table_since_it_may_narrow_the_consent(
    header: str, named: str, tmp_path: Path
) -> None:
    cells = {"group": "a", "endpoint": "hERG"}
    (tmp_path / "d.csv").write_text(f"{header}\n{','.join(cells.get(name, '5') for name in header.split(','))}\n")
    with pytest.raises(DataError, match=rf"d\.csv.* {named}") as caught:
        read_declarations(tmp_path / "d.csv")
    assert "thresholds" in caught.value.hint or "rename" in caught.value.hint


@pytest.mark.parametrize("name", ["a\x1b[2K", "a\u202eb", "a\u200b", "a\u2028b"])
def test_a_name_that_a_terminal_would_not_show_as_it_is_refuses_the_table(name: str, tmp_path: Path) -> None:
    for row in (f"{name},hERG", f"a,{name}"):
        (tmp_path / "d.csv").write_text(f"group,endpoint\n{row}\n", encoding="utf-8")
        with pytest.raises(DataError, match="line 2: 'a.* cannot be shown as it is") as caught:
            read_declarations(tmp_path / "d.csv")
        assert name not in str(caught.value)


def test_a_missing_table_or_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file .*d\.csv"):
        read_declarations(tmp_path / "d.csv")
    (tmp_path / "d.csv").write_text("group,id\na,b\n")
    with pytest.raises(DataError, match=r"d\.csv has no column endpoint"):
        read_declarations(tmp_path / "d.csv")


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(is_name) | st.sampled_from(['"', "a,b", "=x", 'a"b', "sep=;"])


thresholds = st.frozensets(st.none() | st.floats(-1e6, 1e6, width=32), min_size=1, max_size=3)


@given(st.dictionaries(names, st.builds(Declaration, names, st.none() | thresholds), max_size=5))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, declared: dict[str, Declaration]) -> None:
    path = tmp_path_factory.getbasetemp() / "declared.csv"
    write_declarations(path, declared)
    again = read_declarations(path)
    assert again.keys() == declared.keys()
    for group, each in declared.items():
        assert again[group].endpoint == each.endpoint and (again[group].only is None) == (each.only is None)
        assert each.among(again[group].only or ()) == each and again[group].among(each.only or ()) == again[group]
