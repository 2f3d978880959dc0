"""Other programs: what they print is kept, and quoted where they fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.errors import ExportError
from anomaly_hep.fpga import programs


def test_a_program_that_succeeds_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    programs.run(["sh", "-c", "echo here; pwd > out; echo there >&2"], tmp_path, cure="none")
    assert (tmp_path / "out").read_text().strip() == str(tmp_path.resolve())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kept", [True, False])
def test_the_last_lines_of_a_failure_are_in_one_line(tmp_path: Path, kept: bool) -> None:
    log = tmp_path / "any.log" if kept else None
    script = "for i in 1 2 3 4 5 6; do echo line $i; done; echo; echo '  ^~~~'; printf '\\377' >&2"
    with pytest.raises(ExportError) as error:
        programs.run(["sh", "-c", f"{script}; exit 3"], tmp_path, cure="mend it", log=log)
    text = str(error.value)
    assert text.startswith(f"sh in {tmp_path} ended with status 3: line 3 | line 4")
    assert text.endswith("Cure: mend it")
    assert "\n" not in text
    assert "line 2" not in text
    assert (f"is in {log}" in text) == kept
    if log is not None:
        assert log.read_bytes().startswith(b"line 1\nline 2\n")


@given(st.text())
def test_last_lines_are_one_line_of_what_was_said(text: str) -> None:
    found = programs.last_lines(text)
    assert len(found.splitlines()) <= 1
    said = [line.strip() for line in text.splitlines() if line.strip().strip("^~")]
    assert found == " | ".join(said[-5:])
