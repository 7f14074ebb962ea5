"""`polyphony predict`: a partner's model on new compounds."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from fedapp.cli.arguments import Json
from fedapp.wording import plural, shown


def predict(
    model: Annotated[
        Path, typer.Option("--model", metavar="MODEL", help="a partner's folder in a run, a partner's site, or an exported folder")
    ],
    smiles: Annotated[
        Path,
        typer.Option(
            "--smiles", metavar="FILE", help="CSV, TSV or Parquet with a column smiles, and perhaps compound_id, id or name; or .smi"
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="predictions, .csv or .parquet")],
    as_json: Json = False,
) -> None:
    """Predict each of a partner's tasks for every compound of a file: the probability of being active, or the value in the task's unit."""
    from fedapp.prediction.predict import predict_file  # imports torch: seconds that --help need not wait

    replaces = out.is_file()
    predicted = predict_file(model, smiles, out)
    if predicted.read:
        print(predicted.read, file=sys.stderr)
    if replaces:
        print(f"the earlier predictions in {out} were replaced", file=sys.stderr)
    for warning in predicted.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if as_json:
        result = {
            "out": str(out),
            "predicted": predicted.rows,
            "without_prediction": predicted.left_out,
            "note": predicted.note,
            "chosen": predicted.chosen,
        }
        print(json.dumps(result | {"warnings": predicted.warnings}))
        return
    print(f"{plural(predicted.rows, 'compound')} predicted, {predicted.left_out} without a prediction (column reason), in {out}")
    print(f"predicted by {predicted.chosen}, as the validation fold chose")
    if predicted.note:
        print(f"note: {shown(predicted.note)}")
