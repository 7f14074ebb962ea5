"""`polyphony report`: a run's or a site's folder to its page."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from fedapp.errors import RunError
from fedapp.run_folder import RunFolder
from fedapp.wording import shown


def report(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="a run's, such as runs/demo-20260131-120000-1, or a site, as `polyphony kit install` made it"
        ),
    ],
) -> None:
    """Write report.html and tasks.csv into a run or a site, from what its files hold."""
    from fedapp.site.folder import SITE_FILE, Site  # what follows imports scipy and matplotlib: seconds that --help need not wait

    problems: list[str] = []
    if (folder / SITE_FILE).is_file():
        from fedapp.site.status.report import write_site_report

        tell(write_site_report(Site.open(folder), problems), problems)
        return
    if not (folder / "run.json").is_file():
        raise RunError(
            f"{folder} is neither a run folder nor a site",
            "give the folder that `polyphony simulate` named, or the one that `polyphony kit install` made",
        )
    from fedapp.report.run_page import write_report

    tell(write_report(RunFolder.open(folder).path, problems), problems)


def tell(page: Path, problems: list[str]) -> None:
    """Print where the page is, and for people what is wrong with the files that it was made from: the page says so too."""
    for problem in problems:
        print(f"warning: {shown(problem)}", file=sys.stderr)
    print(page)
