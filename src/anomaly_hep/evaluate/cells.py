"""Numbers with their uncertainties as text, rounded to meaningful digits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """A number and its uncertainty, both as text: ("18.9", "+1.1 −0.9") or ("–", "")."""

    value: str
    spread: str

    def __str__(self) -> str:
        return f"{self.value} {self.spread}".strip()

    @property
    def short(self) -> str:
        """Compact form, with the larger uncertainty in units of the last digit: "18.9(11)"."""
        digits = [part.lstrip("±+−").replace(".", "").lstrip("0") for part in self.spread.split()]
        largest = max((int(d or 0) for d in digits), default=None)
        return self.value if largest is None else f"{self.value}({largest})"


NOTHING = Cell("–", "")


def percent(value: float, low: float, high: float) -> Cell:
    """Return a fraction with its interval in %, rounded to what the interval supports."""
    return plain(100 * value, 100 * low, 100 * high)


def plain(value: float, low: float, high: float) -> Cell:
    """Return a number with its interval, rounded to what the interval supports."""
    up, down = high - value, value - low
    digits = decimals(max(up, down))
    plus, minus = f"{up:.{digits}f}", f"{down:.{digits}f}"
    spread = f"±{plus}" if plus == minus else f"+{plus} −{minus}"
    return Cell(f"{value:.{digits}f}", spread)


def decimals(width: float) -> int:
    """Return the number of meaningful decimals for an uncertainty of this width."""
    for digits, least in enumerate((3, 0.05, 0.005, 0.0005)):
        if width >= least:
            return digits
    return 4
