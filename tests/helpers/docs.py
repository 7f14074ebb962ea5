"""The project's pages as tests read them."""

import re
from pathlib import Path

from tests.conftest import ROOT

FOLDERS = ("conf", "fedapp", "simulation", "strategies", "tests")
# By their path from the top; the changelog tells of what was, too, and is held to nothing.
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
    if path.name != "CHANGELOG.md"
}
README = PAGES["README.md"]


def section(page: str, heading: str) -> str:
    """What stands under a heading of a page, up to the next one that is no deeper than it."""
    found = re.search(rf"^(#+) {re.escape(heading)}\n", PAGES[page], re.MULTILINE)
    assert found, f"{page} has no section {heading}"
    rest = without_code(PAGES[page])[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return PAGES[page][found.end() :][: end.start() if end else None]


def commands(text: str) -> list[str]:
    """The commands in all console blocks of a text."""
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def inline_code(text: str) -> list[str]:
    """What stands between single backticks."""
    return re.findall(r"`([^`\n]+)`", without_code(text))


def links(text: str) -> list[str]:
    """Targets of all links of a text that lead to no other host."""
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", without_code(text)) if "://" not in target]


def anchors(text: str) -> set[str]:
    """What a link can name behind #: the headings of a text, as GitHub spells them."""
    headings = re.findall(r"^#+ (.+)$", without_code(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def without_code(text: str) -> str:
    """A text of the same length, code blocks blanked."""
    return re.sub(r"```.*?```", lambda block: re.sub(r"[^\n]", " ", block[0]), text, flags=re.DOTALL)


def target_of(page: str, link: str) -> tuple[Path, str]:
    """The file or folder that a link of a page leads to, and the heading in it; an empty one leads to its beginning."""
    path, _, anchor = link.partition("#")
    here = ROOT / page
    return ((here.parent / path).resolve() if path else here), anchor
