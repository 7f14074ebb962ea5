"""`polyphony predict`: a partner's model on new compounds."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fedapp.cli.arguments import Json
from fedapp.files import read_object


def predict(
    model: Annotated[Path, typer.Option("--model", metavar="DIR", help="a partner's folder, such as RUN/partners/partner-1")],
    smiles: Annotated[Path, typer.Option("--smiles", metavar="FILE", help="CSV, CSV.gz or Parquet with a column smiles, or .smi")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="predictions, .csv or .parquet")],
    as_json: Json = False,
) -> None:
    """Predict the probability of activity in each of a partner's tasks, for every compound of a file."""
    from fedapp.prediction import predict_file  # imports torch: seconds that --help need not wait

    predicted, left_out = predict_file(model, smiles, out)
    if as_json:
        print(json.dumps({"out": str(out), "predicted": predicted, "without_prediction": left_out, "note": note(model)}))
        return
    print(f"{predicted} compounds predicted, {left_out} without a prediction (column reason), in {out}")
    if note(model):
        print(f"note: {note(model)}")


def note(model: Path) -> str:
    """The caveat of the data that the model was trained on; may be empty."""
    return str(read_object(model / "model.json", {"note": str})["note"])
