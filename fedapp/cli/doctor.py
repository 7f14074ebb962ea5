"""`polyphony doctor`: whether a site would work, and what to do if not."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fedapp.cli.arguments import Json
from fedapp.wording import shown

UNFIT = 1


def doctor(
    site: Annotated[Path, typer.Argument(metavar="SITE", help="a party's folder, as `polyphony kit install` made it")],
    as_json: Json = False,
) -> None:
    """Check keys, certificates, the way to the coordinator, clocks, space and data; exit 1 if something would not work."""
    from fedapp.site.doctor.checks import CheckState  # imports cryptography and polars, which --help need not wait for
    from fedapp.site.doctor.examine import Examined, examine
    from fedapp.site.folder import Site

    lines: list[Examined] = []
    for line in examine(Site.open(site)):
        same = next((each.check for each in lines if line.hint and (each.told, each.hint) == (line.told, line.hint)), None)
        lines.append(line)
        if not as_json:
            print(f"{line.state:<4}  {line.check:<12} {f'as {same}, above' if same else shown(line.told)}", flush=True)
            if line.hint and not same:
                print(f"{'':<19}→ {shown(line.hint)}", flush=True)
    failed = [line.check for line in lines if line.state is CheckState.FAIL]
    if as_json:
        print(json.dumps({"ok": not failed, "checks": [asdict(line) for line in lines]}))
    elif failed:
        print(f"{len(failed)} of {len(lines)} checks failed: {', '.join(failed)}", file=sys.stderr)
    if failed:
        raise typer.Exit(UNFIT)
