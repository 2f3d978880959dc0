"""`score`: the scores of a trained model for new files, joined to their events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
from rich.console import Console

from anomaly_hep.atomic import atomic_path
from anomaly_hep.errors import ConfigError, MissingDataError
from anomaly_hep.evaluate.scores import Scorer, load_fitted, load_model
from anomaly_hep.formats.files import format_of


def run(config: Mapping[str, Any]) -> None:
    """Score every event of every input file; labels are not read."""
    checkpoint = Path(config["checkpoint"])
    model, reading = load_model(checkpoint)
    fitted = load_fitted(checkpoint.parent)
    scorer = Scorer(model, reading, config["batch_size"], config["precision"], fitted)
    files = [format_of(path).describe(path) for path in _inputs(config["input"])]
    # the event columns that all files have: what the events are joined by later
    shared = [c for c in files[0].columns if all(c in f.columns for f in files)]
    columns = reading.event_columns(shared)
    output = Path(config["output"])
    if output.suffix != ".parquet":
        raise ConfigError(f"output={output} is not parquet. Cure: let its name end in .parquet")
    writer = None
    with atomic_path(output) as temporary:
        for file in files:
            table = pa.Table.from_pandas(
                scorer.score_file(file, columns, keep_rejected=True), preserve_index=False
            )
            if writer is None:
                writer = pyarrow.parquet.ParquetWriter(temporary, table.schema)
            writer.write_table(table.cast(writer.schema))
        if writer is not None:
            writer.close()
    counts = scorer.counts
    console = Console()
    console.print(f"{counts.events:,} events of {len(files)} files scored into {output}")
    if counts.rejected:
        console.print(
            f"{counts.rejected:,} of them fail the selection of the training or have no particle: "
            "their scores are missing"
        )
    if counts.truncated:
        console.print(
            f"{counts.truncated:,} jets were cut to the model's largest number of particles"
        )


def _inputs(given: str | list[str]) -> list[Path]:
    patterns = [given] if isinstance(given, str) else list(given)
    paths: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        # Path.glob takes relative patterns only
        found = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
        if not found:
            raise MissingDataError(f"input={pattern} matches no file. Cure: check the path")
        paths += found
    return paths
