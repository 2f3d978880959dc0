"""The processes of which a background is made, in each split of a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from anomaly_hep.data.module import EventDataModule
from anomaly_hep.data.samples import SPLITS, SampleFile
from anomaly_hep.errors import ConfigError
from anomaly_hep.formats import files as formats

_BLOCK = 100_000  # events whose texts are in memory at once
_DEVIATIONS = 5.0  # standard deviations that a share may be off


def mixtures(module: EventDataModule) -> dict[str, dict[str, int]]:
    """Return the number of background events of each process, by split; none without a column."""
    if module.process is None:
        return {}
    label = module.background
    present = [split for split in SPLITS if module.has_files(split, label)]
    return {split: mixture(module.files(split, label), module.process) for split in present}


def mixture(files: Sequence[SampleFile], column: str) -> dict[str, int]:
    """Return the number of events of each process, by falling number.

    Raises ConfigError where the files have no such column.
    """
    counts: Counter[str] = Counter()
    for file in files:
        for start in range(0, len(file), _BLOCK):
            rows = file.numbers(start, min(start + _BLOCK, len(file)))
            first, last = int(rows[0]), int(rows[-1]) + 1
            found = formats.stored(file.path, first, last, [column])
            if column not in found:
                raise ConfigError(
                    f"data.process={column} is no column of {file.path}. Cure: name one with each "
                    "event's process, or data.process=null"
                )
            texts = pa.array(found[column]).take(pa.array(rows - first))
            for pair in pc.value_counts(texts):
                counts[str(pair["values"].as_py())] += pair["counts"].as_py()
    return dict(counts.most_common())


def uneven(mixtures: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """Yield a remark on processes whose shares differ between splits by more than chance."""
    totals = {split: sum(counts.values()) for split, counts in mixtures.items()}
    processes = dict.fromkeys(name for counts in mixtures.values() for name in counts)
    overall = sum(totals.values())
    found = []
    for name in processes:
        share = sum(counts.get(name, 0) for counts in mixtures.values()) / overall
        for split, counts in mixtures.items():
            spread = np.sqrt(max(totals[split] * share * (1 - share), 1e-9))
            if abs(counts.get(name, 0) - totals[split] * share) > _DEVIATIONS * spread:
                own = counts.get(name, 0) / totals[split]
                found.append(f"{name} is {own:.1%} of {split} and {share:.1%} of all")
    if found:
        yield (
            f"the processes are not mixed in file order: {'; '.join(found[:3])}"
            f"{' ...' if found[3:] else ''}. data.order=hash mixes them"
        )
