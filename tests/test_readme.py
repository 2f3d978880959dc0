"""What README shows is what the commands print."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_the_first_screen_has_both_commands_a_figure_and_a_table() -> None:
    first = README.split("## Use it")[0]
    assert first.index("make train") < first.index("make test")
    (image,) = re.findall(r"!\[[^]]*\]\(([^)]+)\)", first)
    assert (ROOT / image).stat().st_size > 10_000
    assert "| KL divergence" in first.replace("**", "")


def test_what_is_simulated_is_called_so() -> None:
    for line in README.splitlines():
        if "Measured on" in line:
            assert "simulated" in line
