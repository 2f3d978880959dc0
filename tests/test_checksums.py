"""Files of a run that changed since they were written are refused, and a kill refuses none."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest

from anomaly_hep import checksums
from anomaly_hep.commands import evaluate
from anomaly_hep.errors import RunDirectoryError
from anomaly_hep.evaluate.runfiles import RunFiles
from anomaly_hep.run import hold
from anomaly_hep.settings import EvaluateSettings
from tests.evaluate.fake_run import fake_run
from tests.test_run import CONFIG


@pytest.fixture
def run(tmp_path: Path) -> Path:
    made = fake_run(tmp_path / "run", events=300)
    checksums.note_all(made)
    return made


def _evaluate(run: Path) -> None:
    with (
        mock.patch("anomaly_hep.commands.evaluate.write_figures"),
        mock.patch("anomaly_hep.commands.evaluate.write_report"),
    ):
        evaluate.run(EvaluateSettings(str(run)))


def test_another_whole_file_is_refused_by_name(run: Path, tmp_path: Path) -> None:
    other = fake_run(tmp_path / "other", events=300, seed=1)
    (other / "scores.parquet").replace(run / "scores.parquet")
    with pytest.raises(RunDirectoryError, match=r"scores.parquet was changed.*Cure: .*done.json"):
        _evaluate(run)


def test_an_evaluation_killed_anywhere_can_be_repeated(run: Path) -> None:
    """Between metrics.json and its checksum a kill must not make the next command fail."""
    before = (run / "metrics.json").read_bytes()
    steps = ("write_results", "checksums.note")
    for step in steps:
        with (
            mock.patch(f"anomaly_hep.commands.evaluate.{step}", side_effect=KeyboardInterrupt),
            pytest.raises(KeyboardInterrupt),
        ):
            _evaluate(run)
        _evaluate(run)
        assert (run / "metrics.json").read_bytes() == before
    (run / "metrics.json").write_bytes(before + b"\n")
    with pytest.raises(RunDirectoryError, match=r"metrics.json was changed"):
        _ = RunFiles(run).results


def test_a_run_without_checksums_is_read_as_it_is(run: Path) -> None:
    (run / checksums.FILE).unlink()
    (run / "metrics.csv").write_text("step,train/loss\n0,1\n")
    assert RunFiles(run).losses is not None
    _evaluate(run)
    (run / "metrics.csv").write_text("step,train/loss\n0,2\n")  # was never noted
    assert RunFiles(run).losses is not None


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"files": {}, "digest": "0"}'])
def test_a_damaged_list_of_checksums_can_be_removed(run: Path, content: bytes) -> None:
    (run / checksums.FILE).write_bytes(content)
    with pytest.raises(RunDirectoryError, match=r"checksums.json is damaged. Cure: .*remove it"):
        _evaluate(run)
    (run / checksums.FILE).unlink()
    _evaluate(run)


@pytest.mark.parametrize("name", ["config.yaml", "provenance.json", "metrics.csv"])
def test_a_start_refuses_what_it_does_not_make_anew(tmp_path: Path, name: str) -> None:
    path = tmp_path / "run"
    with hold(path, CONFIG) as run:
        (path / "metrics.csv").write_text("step\n1\n")
        run.finish({})
    (path / "done.json").unlink()
    whole = (path / name).read_bytes()
    (path / name).write_bytes(whole.replace(b"1", b"2", 1))
    with pytest.raises(RunDirectoryError, match=rf"{name} was changed"), hold(path, CONFIG):
        pass
    (path / name).write_bytes(whole)
    for _ in range(2):  # as it is written, and once more behind a kill
        with hold(path, CONFIG):
            (path / "metrics.csv").write_text("step\n1\n2\n")
    with hold(path, CONFIG) as run:
        run.finish({})
    with hold(path, CONFIG) as run:
        assert run.finished
        checksums.verify_kept(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.yaml", b"a: [1"), ("config.yaml", b"\xff\xfe"), ("config.yaml", b"text"),
        ("provenance.json", b"{"), ("provenance.json", b'{"starts": [{}]}'),
        ("provenance.json", b"[]"),
    ],
)  # fmt: skip
def test_a_damaged_file_of_a_run_on_its_way_is_one_line(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / "run"
    with hold(path, CONFIG):
        (path / "checkpoints").mkdir()
    (path / checksums.FILE).unlink()
    (path / name).write_bytes(content)
    with (
        pytest.raises(RunDirectoryError, match=r"is damaged .*Cure: ") as error,
        hold(path, CONFIG),
    ):
        pass
    assert "\n" not in str(error.value)
    if name == "provenance.json":  # the cure
        (path / name).unlink()
        with hold(path, CONFIG):
            pass
