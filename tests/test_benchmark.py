"""What `benchmark` measures comes from configuration, and its tables fit a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import runs
from tests.data.files import write_toys

QUICK = ("seconds=0.01", "repeats=1", "stream_gigabytes=0", "busy=false", "batch_size=16")


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toys(tmp_path_factory.mktemp("toys"))


def test_the_models_of_the_data_are_measured_in_every_precision(toys: Path) -> None:
    printed = runs.command(
        toys, "benchmark", "data.dir=.", *QUICK, "measured.models=[clipvae]", "measured.batches=1",
        "output=bench.json",
    )  # fmt: skip
    found = json.loads((toys / "bench.json").read_text())
    assert set(found["models"]) == {"clipvae"}
    assert set(found["models"]["clipvae"]) == {"16"}
    for rates in found["models"]["clipvae"]["16"].values():
        assert set(rates) == {"train", "scores", "encoder"}
        for rate in rates.values():
            assert rate["best"] >= rate["median"] >= rate["worst"] > 0
    assert set(found["models"]["clipvae"]["16"]) == {"float32", "bfloat16"}
    assert found["machine"]["accelerator"] is None
    assert found["loader"]["16"]["best"] > 0
    assert "clipvae" in printed


def test_no_word_of_the_tables_is_cut_in_a_terminal(toys: Path) -> None:
    printed = runs.command(
        toys, "benchmark", "data.dir=.", *QUICK, "busy=true", "measured.models=[clipvae]",
        "measured.batches=1", "output=busy.json", columns=80,
    )  # fmt: skip
    assert "…" not in printed
    assert max(map(len, printed.splitlines())) <= 80
    for word in ("precision", "events/s", "products", "busy", "bfloat16"):
        assert word in printed.split()


def test_an_accelerator_that_is_not_there_is_refused(toys: Path) -> None:
    printed = runs.command(
        toys, "benchmark", "data.dir=.", *QUICK, "trainer.accelerator=gpu", expect=1
    )
    assert "finds no accelerator 'gpu'" in printed
    assert printed.count("\n") == 1


def test_data_without_a_list_of_models_are_refused_with_the_file_to_write(toys: Path) -> None:
    printed = runs.command(
        toys, "benchmark", "data.dir=.", *QUICK, "~measured", "data.name=mine", expect=1
    )
    assert "conf/measured/mine.yaml" in printed
