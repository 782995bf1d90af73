"""The end of `make demo`: where the model, the plots and the tables are, and the first rows of a table."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd


def main(data: Path) -> None:
    """Prints what the demo made below `data`."""
    model_id = json.loads((data / "models" / "current.json").read_text())["model_id"]
    tables = sorted((data / "scores" / f"model={model_id}").glob("reviews-columns-*.parquet"))
    columns = ["row_id", "source_line", "positive_probability", "predicted_label", "known_tokens", "id", "stars"]
    print(f"\nModel:     {data / 'models' / model_id}")
    print(f"Loss plot: {data / 'models' / model_id / 'loss.png'}")
    print(f"Tables:    {tables[0].parent}")
    print(f"\nFirst rows of {tables[0].name}:")
    print(pd.read_parquet(tables[0])[columns].head().to_string(index=False))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
