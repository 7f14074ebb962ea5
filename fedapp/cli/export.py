"""`polyphony export`: a partner's model as one folder to carry."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from fedapp.cli.arguments import Json
from fedapp.wording import plural, shown


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="a partner's folder in a run, or a partner's site")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="folder to write; an earlier export there is replaced")],
    as_json: Json = False,
) -> None:
    """Write a partner's model into one folder that `polyphony predict` reads anywhere, with a card that says what it tells."""
    from fedapp.prediction.export import export_model  # imports torch: seconds that --help need not wait

    replaces = out.is_dir() and any(out.iterdir())
    saved = export_model(model, out)
    if replaces:
        print(f"the earlier export in {out} was replaced", file=sys.stderr)
    name, number, rounds = (saved.header[key] for key in ("name", "round", "rounds"))
    members = " and ".join(f"{member.name} of round {member.round}" for member in saved.members)
    if as_json:
        summary = {
            "out": str(out),
            "name": name,
            "round": number,
            "tasks": len(saved.tasks),
            "digest": saved.digest,
            "choice": saved.choice,
            "shared_heads": saved.shared_heads,
        }
        print(json.dumps(summary | {"note": saved.header["note"]}))
        return
    print(f"model of {name} ({members}, of {rounds}), {plural(len(saved.tasks), 'task')}, in {out}")
    print(f"the validation fold chose {saved.chosen()}")
    print(f"whoever has it can learn about the compounds that it was trained on: read {out / 'card.md'} before you give it on")
    if saved.header["note"]:
        print(f"note: {shown(saved.header['note'])}")
