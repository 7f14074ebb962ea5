"""The README as tests read it."""

import re

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()


def commands_of(section: str) -> list[str]:
    """The commands of one section, by its heading."""
    found = re.search(rf"^(#+) {re.escape(section)}\n(.*?)(?=^#{{1,3}} |\Z)", README, re.DOTALL | re.MULTILINE)
    assert found, f"no section {section}"
    return commands(found[2])


def commands(text: str) -> list[str]:
    """The commands in all console blocks of a text."""
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]
