"""YAML as dataclasses: nothing is filled in, and nothing is read as another type than it is."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from fedapp.errors import ConfigError
from fedapp.storage.yaml_file import read_plain, read_whole, typed
from tests.helpers.sweeps import examples


@dataclass(frozen=True)
class Inner:
    rate: float
    names: list[str]


@dataclass(frozen=True)
class Outer:
    name: str
    count: int
    least: int | None
    shown: bool
    inner: Inner
    sizes: list[float]


WHOLE: dict[str, Any] = {
    "name": "joint",
    "count": 3,
    "least": None,
    "shown": True,
    "inner": {"rate": 0.5, "names": ["a", "007"]},
    "sizes": [1, 2.5],
}
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"], exclude_characters="$"), max_size=8)


def written(path: Path, contents: Any) -> Path:
    (path / "outer.yaml").write_text(yaml.safe_dump(contents), encoding="utf-8")
    return path / "outer.yaml"


@examples(30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS, st.integers(), st.none() | st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.lists(TEXTS, max_size=2))
def test_what_was_written_whole_comes_back_as_it_was(
    tmp_path: Path, name: str, count: int, least: int | None, rate: float, names: list[str]
) -> None:
    outer = Outer(name, count, least, False, Inner(rate, names), [rate])
    assert typed(asdict(outer), Outer, "here") == outer
    (tmp_path / "outer.yaml").write_text(yaml.safe_dump(WHOLE))
    assert read_whole(tmp_path / "outer.yaml", Outer, "").inner.names == ["a", "007"]


def test_whole_numbers_are_numbers_also_where_parts_are_allowed(tmp_path: Path) -> None:
    read = read_whole(written(tmp_path, WHOLE | {"inner": {"rate": 2, "names": []}}), Outer, "")
    assert (read.inner.rate, read.sizes) == (2.0, [1.0, 2.5])
    assert [type(each) for each in (read.inner.rate, *read.sizes)] == [float] * 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": 7}, "name is 7, not text"),
        ({"name": True}, "name is True, not text"),
        ({"count": "3"}, "count is '3', not a number"),
        ({"count": 2.7}, "count is 2.7, not a number"),
        ({"count": True}, "count is True, not a number"),
        ({"least": "few"}, "least is 'few', not a number"),
        ({"shown": 1}, "shown is 1, not true or false"),
        ({"sizes": 3}, "sizes is 3, not a list of numbers"),
        ({"sizes": [1, "2"]}, r"sizes is \[1, '2'\], not a list of numbers"),
        ({"inner": {"rate": "fast", "names": []}}, "inner: rate is 'fast', not a number"),
        ({"inner": {"rate": 1.0, "names": [7]}}, r"inner: names is \[7\], not a list of text"),
        ({"speed": 9}, "there is no key 'speed'"),
        ({"sizes": [10**400]}, r"sizes is \[10000.*, not a list of numbers"),
        ({"inner": {"rate": -(10**400), "names": []}}, "inner: rate is -1000.*, not a number"),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_key_and_never_converted(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    path = written(tmp_path, WHOLE | change)
    with pytest.raises(ConfigError, match=reason) as caught:
        read_whole(path, Outer, "do this")
    assert str(caught.value).startswith(f"{path}: ")
    assert caught.value.hint == "do this"


@pytest.mark.parametrize("text", ["a\x1b[2K", "a\nb", "a\u202eb", "a\u200b", "\x9b2K", "a\u2028b"])
def test_text_that_a_terminal_would_not_show_as_it_is_is_refused_since_it_comes_from_others(tmp_path: Path, text: str) -> None:
    for change, key in (({"name": text}, "name"), ({"inner": {"rate": 1.0, "names": ["b", text]}}, "inner: names")):
        with pytest.raises(ConfigError, match=f"{key} is .*, which a terminal would not show as it is") as caught:
            typed(WHOLE | change, Outer, "here")
        assert text not in str(caught.value)


def test_a_number_of_more_digits_than_can_be_written_is_refused_without_them() -> None:
    for change in ({"name": 1 << 20_000}, {"sizes": [1 << 20_000]}):
        with pytest.raises(ConfigError, match="is something with a number of thousands of digits, not"):
            typed(WHOLE | change, Outer, "here")


def test_a_misspelt_key_is_named_beside_the_one_that_is_lacking_inside_too(tmp_path: Path) -> None:
    inner = {"inner": {"rat": 1.0, "names": []}}
    with pytest.raises(ConfigError, match=r"lacks inner\.rate, and has 'rat', which it cannot have"):
        read_whole(written(tmp_path, WHOLE | inner), Outer, "")


@pytest.mark.parametrize("key", WHOLE)
def test_a_key_that_is_lost_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=f"lacks {key}"):
        read_whole(written(tmp_path, {name: value for name, value in WHOLE.items() if name != key}), Outer, "")


def test_who_changes_what_was_read_changes_nothing_for_the_next_reader(tmp_path: Path) -> None:
    path = tmp_path / "any.yaml"
    path.write_text("outer: {inner: [1, 2]}\n")
    for _ in range(2):
        value = read_plain(path, "")
        assert value == {"outer": {"inner": [1, 2]}}
        value["outer"]["inner"].append(3)
        del value["outer"]["inner"][0]
        value["more"] = True
