"""`score`: score new files with a trained model, one row per event."""

from __future__ import annotations

import errno
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from rich.console import Console

from anomaly_hep.atomic import atomic_path
from anomaly_hep.data.samples import SampleFile
from anomaly_hep.errors import ConfigError, MissingDataError, in_one_line
from anomaly_hep.evaluate.scores import Scorer, load_fitted, load_model
from anomaly_hep.formats.files import format_of
from anomaly_hep.models.execution import Execution
from anomaly_hep.settings import ScoreSettings
from anomaly_hep.sharing import share_cores


def run(settings: ScoreSettings) -> None:
    """Score every event of every input file; labels are not read."""
    share_cores()
    scorer = open_scorer(
        Path(settings.checkpoint), settings.batch_size, settings.precision, settings.accelerator
    )
    paths = input_files(settings.input)
    output = output_file(settings.output, paths)
    writer = None
    with atomic_path(output) as temporary:
        for scored in tables(scorer, paths):
            table = pa.Table.from_pandas(scored, preserve_index=False)
            if writer is None:
                writer = pyarrow.parquet.ParquetWriter(temporary, table.schema)
            writer.write_table(table.cast(writer.schema))
        if writer is not None:
            writer.close()
    for line in _summary(scorer, paths, output):
        Console().print(line)


def open_scorer(
    checkpoint: Path, batch_size: int, precision: str, accelerator: str = "auto"
) -> Scorer:
    """Return a scorer with a checkpoint's model and the fitted scores stored beside it."""
    model, reading = load_model(checkpoint)
    fitted, execution = load_fitted(checkpoint.parent), Execution.of(accelerator)
    return Scorer(model, reading, batch_size, precision, fitted, execution)


def tables(scorer: Scorer, paths: Sequence[Path]) -> Iterator[pd.DataFrame]:
    """Yield each file's events with their scores and the event columns that all files share."""
    files = [format_of(path).describe(path) for path in paths]
    shared = [c for c in files[0].columns if all(c in file.columns for file in files)]
    columns = format_of(files[0].path).LAYOUT.measured(shared)
    for file in files:
        yield scorer.score_file(SampleFile.whole(file), columns, keep_rejected=True)


def input_files(patterns: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return the files that match paths and patterns, each once; raises MissingDataError."""
    listed = patterns if isinstance(patterns, list | tuple) else [patterns]
    paths = dict.fromkeys(path for pattern in listed for path in _matches(pattern))
    if not paths:
        raise MissingDataError(
            "no input is given. Cure: name files, or a pattern that matches some"
        )
    return list(paths)


def _matches(pattern: Any) -> list[Path]:
    """Return the files of one path or pattern; raises ConfigError for anything else."""
    try:
        path = Path(pattern).expanduser()
        # Path.glob takes relative patterns only
        matches = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    except (TypeError, ValueError, IndexError, RuntimeError) as error:
        raise ConfigError(
            f"input={pattern} is neither a file nor a pattern ({in_one_line(error)}). Cure: "
            "name files, or a pattern such as data/*.root"
        ) from error
    if not matches:
        raise MissingDataError(f"input={pattern} matches no file. Cure: check the path")
    return matches


def output_file(given: str, inputs: Sequence[Path]) -> Path:
    """Return the output path; raises ConfigError if writing would fail or overwrite an input."""
    output = Path(given).expanduser()
    if output.suffix != ".parquet":
        raise ConfigError(f"output={given} is not parquet. Cure: let its name end in .parquet")
    if any(output.exists() and output.samefile(path) for path in inputs):
        raise ConfigError(f"output={given} is one of the inputs. Cure: give another name")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=output.parent).close()
        if output.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a directory")
    except OSError as error:
        raise ConfigError(
            f"output={given} cannot be written ({error.strerror}). Cure: give another place"
        ) from error
    return output


def _summary(scorer: Scorer, paths: Sequence[Path], output: Path) -> Iterator[str]:
    """Yield the lines that summarise the scored events."""
    counts = scorer.counts
    yield f"{counts.events:,} events of {len(paths)} files scored into {output}"
    if counts.rejected:
        yield (
            f"{counts.rejected:,} of them fail the selection of the training or have no particle: "
            "their scores are missing"
        )
    if counts.truncated:
        yield f"{counts.truncated:,} jets were cut to the model's largest number of particles"
    names = Counter(path.stem for path in paths)
    if repeated := [name for name, number in names.items() if number > 1]:
        yield f"several files are called {repeated[0]}, so event_id repeats: join by file and entry"
