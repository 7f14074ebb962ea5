"""A written page as a browser takes it apart."""

from html.parser import HTMLParser
from pathlib import Path

from fedapp.report.run_page import write_report


class Page(HTMLParser):
    """The page's visible text, elements, attributes and style sheets."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.styles: list[str] = []
        self.inside: list[str] = []
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.texts.append(" ")
        if tag in self.inside:
            while self.inside.pop() != tag:
                continue

    def handle_data(self, data: str) -> None:
        (self.styles if "style" in self.inside else self.texts).append(data)

    @property
    def text(self) -> str:
        """With every run of space (no-break space too) as one blank."""
        return " ".join("".join(self.texts).split())


def written(run: Path) -> Page:
    """Write a run's report and read it."""
    return Page(write_report(run))
