"""fpga.json: the proof, the resources, and what a firmware engineer needs from the design."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from anomaly_hep import checksums
from anomaly_hep.errors import ScoreTableError
from anomaly_hep.evaluate.intervals import Interval
from anomaly_hep.fpga.design_settings import ChipSettings
from anomaly_hep.fpga.resources import Resources
from anomaly_hep.fpga.verify import Comparison


@dataclass(frozen=True)
class ModelSummary:
    """The model, the events that it is compared on, and the paper that names their classes.

    `score` is the name of the score that the chip's encoder learned, None for that of the model's
    own encoder, and `learned` its title.
    """

    checkpoint: str
    name: str
    encoder_parameters: int
    events: str
    origin: str
    generator: str | None
    title: str = ""
    paper: str | None = None
    score: str | None = None
    learned: str = "encoder's score"


@dataclass(frozen=True)
class PortSummary:
    """An input of a constituent, or of the event; its last bit is lsb / scale in physical units."""

    name: str
    type: str
    lsb: float
    center: float
    scale: float


@dataclass(frozen=True)
class LayerSummary:
    """The shape and the types of a layer, and the share of its weights that are zero.

    The shape is (output, input); where each place has weights of its own, these come first.
    """

    name: str
    shape: tuple[int, ...]
    zero_weights: float
    input: str
    accumulator: str
    output: str


@dataclass(frozen=True)
class SumSummary:
    """The type that the sum over constituents needs, and the type in which it is kept."""

    exact: str
    kept: str


@dataclass(frozen=True, kw_only=True)
class DesignSummary(ChipSettings):
    """The network on the chip; the threshold as an integer and on the scale of the float score."""

    threshold: int
    score_type: str
    threshold_value: float
    ports: tuple[PortSummary, ...]
    context: tuple[PortSummary, ...] = ()
    layers: tuple[LayerSummary, ...]
    sum: SumSummary


@dataclass(frozen=True)
class ClippedSummary:
    """Shares of events with a value beyond the range: of any port, and of each port."""

    events: float
    ports: Mapping[str, float]


@dataclass(frozen=True)
class PassingSummary:
    """The test background that passes: its share by bin of mass, and in all.

    `relative_entropy`, in nats, is that of its mass against that of all background, `chance` what a
    random cut of the same size gives; None where too few events pass. `efficiency` is the mean over
    the signals at the rejection asked for, None without any.
    """

    in_bins: tuple[Interval, ...]
    share: Interval
    relative_entropy: Interval | None
    chance: Interval | None
    efficiency: Interval | None


@dataclass(frozen=True)
class DecorrelationSummary:
    """Thresholds by mass on the chip, and what they change.

    `step` is that of the mass at its port, in GeV; `beyond_range` the share of test events whose
    mass is not in the port's range. `shares` of background are those of the levels; at level
    `deciding` (from 0) the trigger fires. `edges` are those of the mass bins, in GeV, equally full
    of test background.
    """

    column: str
    type: str
    step: float
    beyond_range: float
    shares: tuple[float, ...]
    deciding: int
    training_events: int
    edges: tuple[float, ...]
    single: PassingSummary
    by_mass: PassingSummary


@dataclass(frozen=True)
class RateSummary:
    """The trigger rate asked for, that of all events, and that of test background, in Hz."""

    wanted_hz: float
    input_rate_hz: float
    background_hz: Interval


@dataclass(frozen=True)
class StimuliSummary:
    """Events of data, all events with those made, and how many input pins took both values."""

    data: int
    events: int
    toggled_pins: int
    pins: int


@dataclass(frozen=True)
class EfficiencyAt:
    """The mean efficiency over the signals at a rejection; None where too few events pass."""

    rejection: float
    mean: Interval | None


@dataclass(frozen=True)
class DesignPoint:
    """A design that was trained on the way to a budget of LUTs, with its efficiencies.

    `agreement` is that with the teacher on training and validation background. `in_budget`: the
    best of its start within the budget; `chosen`: the one that became the chip.
    `ebops` are None where widths are fixed.
    """

    learned: bool
    start: int
    step: int
    ebops: float | None
    lut: int
    agreement: float
    in_budget: bool
    chosen: bool
    efficiencies: tuple[EfficiencyAt, ...]


@dataclass(frozen=True)
class BudgetSummary:
    """The budget, and all designs that no other of the same start beats in LUTs and agreement.

    Of `starts` with fixed widths those are left out in which a layer died. `model` are the
    efficiencies of the model that the designs learned from. `order_flips` is the share of test
    events that an order-aware design decides otherwise when their constituents come in a random
    order.
    """

    target_lut: int
    starts: int
    order_aware: bool
    model: tuple[EfficiencyAt, ...]
    designs: tuple[DesignPoint, ...]
    order_flips: Interval | None


@dataclass(frozen=True)
class FirmwareSummary:
    """The content of fpga.json; `exact` says whether all is equal that must be equal."""

    stages: tuple[Comparison, ...]
    resources: tuple[Resources, ...]
    seconds: Mapping[str, float]
    exact: bool
    model: ModelSummary
    events: Mapping[str, int]
    background: str
    design: DesignSummary
    background_firing: Interval
    inputs_beyond_range: ClippedSummary
    remarks: tuple[str, ...]
    decorrelation: DecorrelationSummary | None = None
    rate: RateSummary | None = None
    stimuli: StimuliSummary | None = None
    budget: BudgetSummary | None = None

    @property
    def measured_on(self) -> str:
        """The events behind the numbers, with their origin, such as simulated."""
        signals = sum(self.events.values()) - self.events[self.background]
        return (
            f"measured on {self.model.origin} events: {self.events[self.background]:,} "
            f"{self.background} and {signals:,} signal"
        )

    def to_json(self) -> str:
        """Return the text of fpga.json."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @staticmethod
    def read(path: Path) -> FirmwareSummary:
        """Read fpga.json; raises ScoreTableError or RunDirectoryError for another file."""
        checksums.verify(path)
        try:
            return TypeAdapter(FirmwareSummary).validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ScoreTableError(
                f"{path} is not what the command fpga writes "
                f"({'.'.join(map(str, first['loc']))}: {first['msg']}). Cure: make this run anew, "
                "or remove it"
            ) from error
