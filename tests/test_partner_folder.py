"""A partner's private folder: every name in it is spelled once, and the table of its module tells of each."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedapp import partner_folder
from fedapp.partner_folder import PartnerFolder

ROOT = Path(__file__).resolve().parents[1]
HERE = PartnerFolder(Path("home"))
PROPERTIES = [name for name, value in vars(PartnerFolder).items() if isinstance(value, property)]
PATHS = [*(getattr(HERE, name) for name in PROPERTIES), HERE.transcript(bytes(32)), HERE.state_of(7), HERE.metrics_of(7), HERE.loss_of(7)]
FILES = {path.name for path in PATHS if path.suffix}
FOLDERS = {path.name for path in PATHS if not path.suffix}
SITES = {"policy.yaml"}  # a site has one, too, which messages name
# Names that other folders have too, which are spelled by their own modules.
ELSEWHERE = {
    "fedapp/site/folder.py": {"policy.yaml", "state"},
    "fedapp/site/accept.py": {"dataset"},
    "fedapp/cli/prepare.py": {"dataset"},
    "fedapp/evaluation/arms.py": {"local"},
    "simulation/privacy_curve.py": {"local"},
}
SOURCES = sorted(path for package in ("fedapp", "strategies", "simulation") for path in (ROOT / package).rglob("*.py"))


def spelled(tree: ast.Module) -> Iterator[str]:
    """Names in a module's code: texts that hold a file's name, and folders' names where a path is made of them."""
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield from (name for name in FILES if name in node.value and (name not in SITES or name == node.value))
            yield from (name for name in ("round-", "transcript-") if name in node.value)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and isinstance(node.right, ast.Constant):
            yield from FOLDERS & {node.right.value}
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant | ast.Tuple):  # a constant of that name
            parts = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            names = [name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
            held = [part.value for part in parts if isinstance(part, ast.Constant)]
            yield from (
                value for name, value in zip(names, held, strict=False) if name in {str(value).upper(), "DATASET"} and value in FOLDERS
            )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_spells_a_name_of_the_folder(path: Path) -> None:
    if path.name == "partner_folder.py":
        return
    allowed = ELSEWHERE.get(str(path.relative_to(ROOT)), set())
    assert set(spelled(ast.parse(path.read_text(encoding="utf-8")))) <= allowed


def test_the_walk_finds_a_second_spelling() -> None:
    for code in (
        'a / "state"',
        'f"round-{n}.x"',
        'p = q / f"transcript-{n}.jsonl"',
        'A = "sums.jsonl"',
        'STATE = "state"',
        'g("model.json")',
    ):
        assert list(spelled(ast.parse(code))), code
    assert not list(spelled(ast.parse('"""sums.jsonl"""\na["state"] = "loss"')))


def test_every_name_has_a_line_in_the_table_and_no_two_are_the_same() -> None:
    table = [line.split()[0] for line in str(partner_folder.__doc__).splitlines() if line.startswith("    ") and line[4] != " "][1:]
    spelled_out = {path.relative_to(HERE.path).as_posix() for path in PATHS}
    rounds = {str(path.relative_to(HERE.path)) for path in (HERE.states, HERE.metrics, HERE.losses)}
    assert {name.replace("x" * 8, "0" * 8) for name in table} == spelled_out - rounds
    assert len(set(PATHS)) == len(PATHS)


def test_every_writer_in_the_table_is_a_module() -> None:
    for line in str(partner_folder.__doc__).splitlines():
        named = line[34:69].strip()
        if named.startswith(("fedapp.", "strategies.", "simulation.")) and line.startswith("    "):
            assert (ROOT / f"{named.replace('.', '/')}.py").is_file(), named


def test_rounds_are_listed_ascending_without_what_is_still_being_written(tmp_path: Path) -> None:
    folder = PartnerFolder(tmp_path)
    folder.losses.mkdir()
    for number in (2, 12345, 1):
        folder.loss_of(number).touch()
    for name in (".round-0003.json.abcdefgh.part", "round-x.json", "round-0004.parquet", "notes.json"):
        (folder.losses / name).touch()
    assert folder.losses_by_round() == {number: folder.loss_of(number) for number in (1, 2, 12345)}
    assert list(folder.losses_by_round()) == [1, 2, 12345]
    assert folder.metrics_by_round() == {}
