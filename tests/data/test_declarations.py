"""Tables in which a partner declares its groups of tasks to be endpoints."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.data.catalogue import is_name
from fedapp.data.declarations import read_declarations, write_declarations
from fedapp.errors import DataError


@pytest.mark.parametrize(
    "text",
    [
        "group,endpoint\npatch clamp,hERG\n007,Ames\n",
        "endpoint;remark;group\nhERG;ours;patch clamp\n\nAmes;;007\n",
        "sep=;\ngroup;endpoint\npatch clamp ; hERG\n007;Ames\n;\n",
        '\ufeff"group"\t"endpoint"\n"patch clamp"\thERG\n007\tAmes\npatch clamp\thERG\n',
    ],
)
def test_a_table_is_read_as_people_write_it(text: str, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(text, encoding="utf-8")
    assert read_declarations(tmp_path / "d.csv") == {"patch clamp": "hERG", "007": "Ames"}


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (b"a,hERG\na,Ames\n", "line 3: a is hERG in a line above, and Ames here"),
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


def test_a_missing_table_or_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file .*d\.csv"):
        read_declarations(tmp_path / "d.csv")
    (tmp_path / "d.csv").write_text("group,id\na,b\n")
    with pytest.raises(DataError, match=r"d\.csv has no column endpoint"):
        read_declarations(tmp_path / "d.csv")


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(is_name) | st.sampled_from(['"', "a,b", "=x", 'a"b', "sep=;"])


@given(st.dictionaries(names, names, max_size=5))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, declared: dict[str, str]) -> None:
    path = tmp_path_factory.getbasetemp() / "declared.csv"
    write_declarations(path, declared)
    assert read_declarations(path) == declared
