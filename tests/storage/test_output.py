"""Where a verb may write: nothing of a person's is ever replaced."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.errors import BusyError, OutputError
from fedapp.storage import output
from fedapp.storage.json_file import write_sealed
from fedapp.storage.output import MANIFEST, Kind, check_file, check_folder, output_folder
from tests.helpers.sweeps import examples

OURS, INNER = Kind("a cake"), Kind("a recipe")


def written(out: Path, text: str = "ours", kind: Kind = OURS, **options: object) -> Path:
    """Our own output: a text, an array, and one in a folder below."""
    with output_folder(out, kind, **options) as folder:  # type: ignore[arg-type]
        (folder / "summary.json").write_text(text)
        (folder / "x.npy").write_bytes(b"\x93NUMPY\0" + text.encode())
        (folder / "dataset").mkdir()
        (folder / "dataset" / "y.npy").write_bytes(b"\x93NUMPY\0" + text.encode())
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refuses(out: Path, *named: str, error: type[Exception] = OutputError, kind: Kind = OURS, **options: object) -> None:
    """It is refused before anything is done, with a message that names these, and everything is as it was."""
    before = contents(out) if out.is_dir() else {}
    with pytest.raises(error) as caught, output_folder(out, kind, **options):  # type: ignore[arg-type]
        pytest.fail("it went on")
    assert all(name in str(caught.value) for name in named), str(caught.value)
    assert (contents(out) if out.is_dir() else {}) == before


def test_a_new_or_an_empty_folder_is_written_and_our_own_is_replaced_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("new/deeper", "empty"):
        assert not check_folder(tmp_path / name, OURS)
        out = written(tmp_path / name, "first")
        assert check_folder(out, OURS)
        with output_folder(out, OURS) as folder:
            (folder / "other").write_text("second")
        assert contents(out).keys() == {"other", MANIFEST}


def test_an_own_folder_that_was_moved_or_copied_is_still_ours(tmp_path: Path) -> None:
    written(tmp_path / "out").rename(tmp_path / "moved")
    shutil.copytree(tmp_path / "moved", tmp_path / "copied")
    for name in ("moved", "copied"):
        assert (written(tmp_path / name, "new") / "summary.json").read_text() == "new"


Change = Callable[[Path], object]
FOREIGN: dict[str, tuple[Change, str]] = {
    "notes": (lambda out: (out / "notes.txt").write_text("mine"), "notes.txt"),
    "notes below": (lambda out: (out / "dataset" / "notes.txt").write_text("mine"), "dataset/notes.txt"),
    "a hidden file": (lambda out: (out / ".secret.key").write_text("mine"), ".secret.key"),
    "an empty folder": (lambda out: (out / "later").mkdir(), "later/"),
    "a folder": (lambda out: shutil.copytree(out / "dataset", out / "mine"), "mine/y.npy"),
    "a link": (lambda out: (out / "link").symlink_to(out / "x.npy"), "link"),
    "a link in a file's place": (lambda out: ((out / "x.npy").unlink(), (out / "x.npy").symlink_to("/dev/null")), "x.npy"),
    "a pipe": (lambda out: os.mkfifo(out / "pipe"), "pipe"),
    "an edited text": (lambda out: (out / "summary.json").write_text("ours, with a remark"), "summary.json"),
    "a text in another encoding": (lambda out: (out / "summary.json").write_text("ours, too", encoding="utf-16"), "summary.json"),
    "no list": (lambda out: (out / MANIFEST).unlink(), "summary.json"),
    "a damaged list": (lambda out: (out / MANIFEST).write_text("{"), "summary.json"),
    "a list of another kind": (lambda out: (out / MANIFEST).write_text('{"files": ["summary.json"]}'), "summary.json"),
    "half a file's name": (lambda out: (out / ".notes.part").write_text("mine"), ".notes.part"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_folder_that_holds_anything_of_a_persons_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    change, named = FOREIGN[kind]
    change(written(tmp_path / "out"))
    refuses(tmp_path / "out", str(tmp_path / "out"), named)


def test_what_a_person_puts_there_while_we_compute_is_seen_in_the_end(tmp_path: Path) -> None:
    out = written(tmp_path / "out")
    with pytest.raises(OutputError, match=r"notes\.txt"), output_folder(out, OURS):
        (out / "notes.txt").write_text("mine")
    assert {"notes.txt", "summary.json"} < contents(out).keys()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY\0other"])
def test_a_damaged_array_or_an_emptied_file_is_ours_to_make_anew(damage: bytes, tmp_path: Path) -> None:
    out = written(tmp_path / "out")
    (out / "x.npy").write_bytes(damage)
    (out / "summary.json").write_bytes(b"")
    assert (written(out, "new") / "summary.json").read_text() == "new"


def test_of_many_foreign_files_an_error_names_a_few(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / f"file-{number}").write_text("mine")
    refuses(tmp_path / "out", "file-0, file-1, file-2 and more")


def test_the_current_folder_its_parents_and_the_home_are_refused_however_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, home = written(tmp_path / "own") / "dataset", tmp_path / "home" / "user"
    home.mkdir(parents=True)
    (tmp_path / "other-name").symlink_to(tmp_path / "own")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    for spelling in (".", "..", "../dataset", "../../own", "../../other-name", str(tmp_path), "/"):
        refuses_nothing_touched(Path(spelling), "current folder")
    for spelling in (str(home), str(home.parent), f"{home}/../user"):
        refuses_nothing_touched(Path(spelling), "home folder")


def refuses_nothing_touched(out: Path, named: str) -> None:
    with pytest.raises(OutputError, match=named), output_folder(out, OURS):
        pytest.fail("it went on")


def test_a_folder_that_is_or_holds_an_input_is_refused_also_through_links(tmp_path: Path) -> None:
    out = written(tmp_path / "out")
    (tmp_path / "link").symlink_to(out / "dataset")
    (tmp_path / "same").symlink_to(out)
    for source in (out, out / "dataset", out / "dataset" / "y.npy", tmp_path / "link", tmp_path / "same" / "dataset"):
        refuses(out, "which is read", sources=[source])
        refuses(tmp_path / "same", "which is read", sources=[source])
    assert written(out, "new", sources=[tmp_path / "absent", tmp_path / "out-of-the-way"]).is_dir()


def test_a_new_folder_within_an_input_takes_nothing_away(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "compounds.csv").write_text("a")
    written(tmp_path / "tables" / "prepared", sources=[tmp_path / "tables"])
    assert (tmp_path / "tables" / "compounds.csv").read_text() == "a"


def test_a_mount_point_is_refused_with_a_folder_in_it_as_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "volume").mkdir()
    mounted = {str(tmp_path / "volume")}
    monkeypatch.setattr(output.os.path, "ismount", lambda path: str(path) in mounted)
    refuses(tmp_path / "volume", "mount point")
    out = written(tmp_path / "own")
    (out / "below").mkdir()
    mounted.add(str(out / "below"))
    refuses(out, "below/")


def test_a_file_in_the_folders_place_is_refused_and_a_link_to_a_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    refuses(tmp_path / "file", "is a file")
    (tmp_path / "link").symlink_to(tmp_path / "big-disk" / "out")
    for text in ("first", "second"):
        written(tmp_path / "link", text)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "big-disk" / "out" / "summary.json").read_text() == "second"


def test_two_at_once_on_one_folder_the_second_is_told(tmp_path: Path) -> None:
    with output_folder(tmp_path / "out", OURS) as folder:
        (folder / "a").write_text("first")
        refuses(tmp_path / "out", "being written", error=BusyError)
    assert contents(tmp_path / "out")["a"] == b"first"


def test_an_output_from_before_there_were_lists_is_known_by_its_header_and_names(tmp_path: Path) -> None:
    earlier = Kind("a cake", ("summary.json", "x.npy", "dataset/y.npy"))
    out = written(tmp_path / "out", '{"digest": "00", "note": ""}')
    (out / MANIFEST).unlink()
    (out / "notes.txt").write_text("mine")
    refuses(out, "notes.txt", kind=earlier)
    (out / "notes.txt").unlink()
    refuses(out, "summary.json")
    assert written(out, "new", kind=earlier).is_dir()
    (out / MANIFEST).unlink()
    refuses(out, "x.npy", kind=earlier)


def test_an_output_that_lost_its_list_is_not_taken_for_one_from_before_there_were_lists(tmp_path: Path) -> None:
    """Nothing would tell then whether a text in it was edited."""
    earlier = Kind("a cake", ("summary.json", "rejected.csv"))
    with output_folder(tmp_path / "out", earlier) as folder:
        write_sealed(folder / "summary.json", {"digest": "00", "note": ""})
        (folder / "rejected.csv").write_text("ours")
    (tmp_path / "out" / MANIFEST).unlink()
    refuses(tmp_path / "out", "rejected.csv", kind=earlier)


def test_an_output_of_another_kind_stays(tmp_path: Path) -> None:
    out = written(tmp_path / "out", kind=INNER)
    refuses(out, "is a recipe", "a cake")
    assert check_folder(out, INNER)


def test_a_folder_of_outputs_stays(tmp_path: Path) -> None:
    """It is nobody's output itself, also where all in it is ours, and of the same kind."""
    for name in ("alpha", "beta"):
        written(tmp_path / "all" / name)
    refuses(tmp_path / "all", "alpha/", "beta/")


def test_of_the_outputs_in_an_output_those_go_with_it_that_belong_there(tmp_path: Path) -> None:
    whole = Kind("a cake", inner={"inner": INNER})
    out = written(tmp_path / "out", kind=whole)
    written(out / "inner", kind=INNER)
    assert check_folder(out, whole)
    refuses(out, "inner/")
    (out / "inner" / "notes.txt").write_text("mine")
    refuses(out, "inner/notes.txt", kind=whole)
    (out / "inner" / "notes.txt").unlink()
    written(out / "elsewhere", kind=INNER)
    refuses(out, "elsewhere/", kind=whole)
    (out / "elsewhere").rename(tmp_path / "moved")
    shutil.rmtree(out / "inner")
    written(out / "inner", kind=whole)
    refuses(out, "inner/", kind=whole)


def test_a_name_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"b\xff")
    refuses_nothing_touched(odd, "not UTF-8")
    with pytest.raises(OutputError, match="not UTF-8"):
        check_file(odd, [], lambda _: False)


@examples(60)
@given(st.data())
def test_whatever_lies_in_a_folder_a_persons_bytes_are_there_afterwards(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Either all was ours and is new, or nothing at all has changed."""
    out = written(tmp_path_factory.mktemp("any") / "out")
    ours = contents(out)
    name = st.sampled_from(["notes", "a.csv", ".b", "dataset/c", "mine/d", "summary.json", MANIFEST])
    text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
    for path, content in data.draw(st.dictionaries(name, text, max_size=3)).items():
        (out / path).parent.mkdir(exist_ok=True)
        (out / path).write_text(content, encoding="utf-8")
    before = contents(out)
    try:
        written(out, "new")
    except OutputError:
        assert contents(out) == before
    else:
        assert {name: held for name, held in before.items() if name != MANIFEST} == {n: held for n, held in ours.items() if n != MANIFEST}
        assert (out / "summary.json").read_text() == "new"


def test_a_file_that_is_read_or_was_not_written_by_us_is_not_overwritten(tmp_path: Path) -> None:
    smiles, mine, ours, empty = (tmp_path / name for name in ("in.csv", "mine.csv", "ours.csv", "empty.csv"))
    for path, text in ((smiles, "ours"), (mine, "mine"), (ours, "ours"), (empty, "")):
        path.write_text(text)
    (tmp_path / "link.csv").symlink_to(smiles)
    (tmp_path / "hard.csv").hardlink_to(smiles)

    def by_us(path: Path) -> bool:
        return path.read_text() == "ours"

    for path in (smiles, tmp_path / "link.csv", tmp_path / "hard.csv", tmp_path / "." / "in.csv"):
        with pytest.raises(OutputError, match="is read"):
            check_file(path, [smiles], by_us)
    for path in (mine, tmp_path):
        with pytest.raises(OutputError, match="did not write"):
            check_file(path, [smiles], by_us)
    with pytest.raises(NotADirectoryError):
        check_file(mine / "out.csv", [smiles], by_us)
    left = tmp_path / ".ours.csv.abcd1234.part"
    left.write_text("half")
    assert [check_file(path, [smiles], by_us) for path in (ours, empty, tmp_path / "new" / "out.csv")] == [True, True, False]
    assert not left.exists()


def test_looking_at_a_folder_of_a_persons_removes_nothing_whatever_its_files_are_called(tmp_path: Path) -> None:
    (tmp_path / "mine" / ".notes.abcdefgh.part").mkdir(parents=True)
    for kept in (tmp_path / "mine" / ".thesis.abcdefgh.part", tmp_path / "mine" / ".notes.abcdefgh.part" / "a.txt"):
        kept.write_text("mine")
    with pytest.raises(OutputError):
        check_folder(tmp_path / "mine", OURS)
    assert (tmp_path / "mine" / ".thesis.abcdefgh.part").read_text() == "mine"
    assert (tmp_path / "mine" / ".notes.abcdefgh.part" / "a.txt").read_text() == "mine"
