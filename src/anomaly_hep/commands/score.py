"""`score`: score new files with a trained model, one row per event."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from anomaly_hep.atomic import atomic_path, check_output
from anomaly_hep.errors import ConfigError, MissingDataError, in_one_line
from anomaly_hep.evaluate.filescores import FileScores
from anomaly_hep.evaluate.intervals import binomial
from anomaly_hep.evaluate.loading import load_fitted, load_model
from anomaly_hep.evaluate.scores import Scorer
from anomaly_hep.evaluate.tablefiles import WRITERS
from anomaly_hep.evaluate.thresholds import Thresholds, read_thresholds
from anomaly_hep.models.execution import Execution
from anomaly_hep.paths import at_home
from anomaly_hep.runtime import few_collections
from anomaly_hep.settings import ScoreSettings
from anomaly_hep.sharing import share_cores


def run(settings: ScoreSettings) -> None:
    """Score every event of every input file; labels are not read."""
    share_cores()
    scorer = open_scorer(
        Path(settings.checkpoint), settings.batch_size, settings.precision, settings.accelerator
    )
    paths = input_files(settings.input)
    output = output_file(settings.output, paths, overwrite=settings.overwrite)
    thresholds = _thresholds(settings, scorer)
    scores = FileScores(
        scorer,
        paths,
        carry=settings.carry,
        on_bad_file=settings.on_bad_file,
        on_bad_event=settings.on_bad_event,
        max_bad_fraction=settings.max_bad_fraction,
        cuts=thresholds.cuts if thresholds else {},
    )
    with atomic_path(output) as temporary, few_collections():
        writer = WRITERS[output.suffix](temporary, scores.schema)
        for table in scores.tables():
            writer.write(table)
        writer.close()
    console = Console(highlight=False, soft_wrap=True)
    passes = _passes(scores, thresholds) if thresholds else ()
    for line in (*_summary(scores, output), *passes, *writer.remarks):
        console.print(line, markup=False)


def _thresholds(settings: ScoreSettings, scorer: Scorer) -> Thresholds | None:
    """Return the thresholds to apply; raises ConfigError for those of another model."""
    if settings.threshold is None:
        return None
    path = Path(settings.threshold)
    thresholds = read_thresholds(path)
    thresholds.check(path, Path(settings.checkpoint), scorer.fitted)
    return thresholds


def open_scorer(
    checkpoint: Path, batch_size: int, precision: str, accelerator: str = "auto"
) -> Scorer:
    """Return a scorer with a checkpoint's model and the fitted scores stored beside it."""
    model, reading, validated = load_model(checkpoint)
    fitted, execution = load_fitted(checkpoint.parent), Execution.of(accelerator)
    return Scorer(model, reading, batch_size, precision, fitted, execution, validated)


def input_files(patterns: str | Path | Sequence[str | Path], key: str = "input") -> list[Path]:
    """Return the files that match paths and patterns, each once; raises MissingDataError.

    `key` is what a user has set, for messages.
    """
    listed = patterns if isinstance(patterns, list | tuple) else [patterns]
    paths = dict.fromkeys(path for pattern in listed for path in _matches(pattern, key))
    if not paths:
        raise MissingDataError(
            "no input is given. Cure: name files, or a pattern that matches some"
        )
    return list(paths)


def _matches(pattern: Any, key: str) -> list[Path]:
    """Return the files of one path or pattern; raises ConfigError for anything else.

    A path that exists is taken as it is, whatever characters of patterns are in it.
    """
    try:
        path = Path(pattern)
        if str(pattern) and path.exists():
            return [path]
        path = Path(at_home(str(pattern)))
        # Path.glob takes relative patterns only
        matches = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    except (TypeError, ValueError, IndexError, RuntimeError) as error:
        raise ConfigError(
            f"{key}={pattern} is neither a file nor a pattern ({in_one_line(error)}). Cure: "
            "name files, or a pattern such as data/*.root"
        ) from error
    if not matches:
        raise MissingDataError(f"{key}={pattern} matches no file. Cure: check the path")
    return matches


def output_file(given: str, inputs: Sequence[Path], *, overwrite: bool = False) -> Path:
    """Return the output path; raises ConfigError if writing would fail or lose a file."""
    output = Path(at_home(given))
    output = output.resolve() if output.is_symlink() else output  # what it links to is written
    if output.suffix not in WRITERS:
        known = ", ".join(WRITERS)
        raise ConfigError(f"output={given} names no known format. Cure: let it end in {known}")
    if output.exists() and any(path.exists() and output.samefile(path) for path in inputs):
        raise ConfigError(f"output={given} is one of the inputs. Cure: give another name")
    check_output(output)
    if output.exists() and not overwrite:
        raise ConfigError(f"output={given} exists. Cure: overwrite=true, or give another name")
    # a row of scores has about a hundredth of an event's bytes, in every format
    free = shutil.disk_usage(output.parent).free
    needed = sum(path.stat().st_size for path in inputs if path.is_file()) // 100
    if needed > free:
        raise ConfigError(
            f"output={given}: about {needed:,} bytes are needed there and {free:,} are free. "
            "Cure: free some space, or give another place"
        )
    return output


def _summary(scores: FileScores, output: Path) -> Iterator[str]:
    """Yield the lines that summarise the scored events."""
    scorer = scores.scorer
    counts, bad = scorer.counts, scorer.left_out
    files = len(scores.paths) - len(scores.refused)
    yield f"{counts.events:,} events of {files} files scored into {output}"
    for error in scores.refused[:5]:
        yield f"left out: {error}"
    if len(scores.refused) > 5:
        yield f"left out: {len(scores.refused) - 5} more files"
    if bad.events:
        reasons = "; ".join(f"{number:,}: {reason}" for reason, number in bad.reasons.items())
        yield f"{bad.events:,} of them are impossible and have no scores ({reasons})"
    if counts.rejected:
        yield (
            f"{counts.rejected:,} of them fail the selection of the training or have no particle: "
            "their scores are missing"
        )
    if counts.truncated:
        yield (
            f"{counts.truncated:,} of them have more particles than the model takes: those of "
            "highest pT were used"
        )
    yield from scores.remarks
    yield from scorer.clipping_remarks()
    yield from scorer.ranges.remarks()


def _passes(scores: FileScores, thresholds: Thresholds) -> Iterator[str]:
    """Yield how many of the scored events pass each threshold, and the rate that this means."""
    counts = scores.scorer.counts
    number = counts.events - counts.rejected - scores.scorer.left_out.events
    for name, threshold in thresholds.cuts.items():
        passed = scores.passed[name]
        line = f"{passed:,} of {number:,} scored events pass {name} > {threshold:g}"
        if number:
            share = binomial(passed, number)
            rate, low, high = (part * thresholds.input_rate_hz for part in share)
            line += (
                f": {rate:,.4g} Hz ({low:,.3g} to {high:,.3g}) of {thresholds.input_rate_hz:,g} Hz "
                f"if all input is like them, {thresholds.wanted_hz:,g} Hz were asked for "
                f"{thresholds.background}"
            )
        yield line
