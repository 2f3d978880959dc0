"""What the command score reads and where it writes, before it scores."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly_hep.commands.score import input_files, output_file
from anomaly_hep.errors import ConfigError, MissingDataError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a_0.root", "a_1.root", "b.parquet"):
        Path(name).write_bytes(b"events")
    return tmp_path


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("a_0.root", ["a_0.root"]),
        ("a_*.root", ["a_0.root", "a_1.root"]),
        (["a_1.root", "a_*.root"], ["a_1.root", "a_0.root"]),
        (Path("b.parquet"), ["b.parquet"]),
    ],
)
def test_patterns_name_files_each_once(given: str | Path | list[str], found: list[str]) -> None:
    assert [str(path) for path in input_files(given)] == found


@pytest.mark.parametrize("given", ["c.root", ["a_0.root", "c_*"], []])
def test_what_names_no_file_is_refused(given: str | list[str]) -> None:
    with pytest.raises(MissingDataError, match="Cure"):
        input_files(given)


def test_the_home_directory_is_meant_by_its_sign(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(here))
    assert input_files("~/a_0.root") == [here / "a_0.root"]
    assert output_file("~/s.parquet", []) == here / "s.parquet"


def test_an_input_is_never_written_over(here: Path) -> None:
    Path("link.parquet").symlink_to("b.parquet")
    Path("hard.parquet").hardlink_to("b.parquet")
    for name in ("b.parquet", "link.parquet", "hard.parquet", f"{here}/../{here.name}/b.parquet"):
        with pytest.raises(ConfigError, match="is one of the inputs"):
            output_file(name, input_files(["a_0.root", "b.parquet"]))
    assert Path("b.parquet").read_bytes() == b"events"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("s.txt", "names no known format"),
        ("a_0.root/s.parquet", "cannot be written"),
        ("/proc/s.parquet", "cannot be written"),
        ("folder.parquet", "it is a directory"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_any_work(given: str, said: str) -> None:
    Path("folder.parquet").mkdir()
    with pytest.raises(ConfigError, match=said):
        output_file(given, [])
