"""A summary of a firmware run, made up: every kind of row, names of any kind."""

from __future__ import annotations

import random
from collections.abc import Sequence

from anomaly_hep.evaluate.intervals import Interval
from anomaly_hep.fpga.resources import Resources
from anomaly_hep.fpga.summary import (
    BudgetSummary,
    ClippedSummary,
    DecorrelationSummary,
    DesignPoint,
    DesignSummary,
    EfficiencyAt,
    FirmwareSummary,
    LayerSummary,
    ModelSummary,
    PassingSummary,
    PortSummary,
    RateSummary,
    SumSummary,
)
from anomaly_hep.fpga.verify import Comparison

FLOATS = ("float model, all constituents: torch", "float model, 16 hardest constituents: torch",
          "float trigger encoder, 16 hardest constituents: torch",
          "quantisation-aware model: Brevitas")  # fmt: skip
INTEGERS = ("integer reference: numpy", "QONNX graph: qonnx execution",
            "hls4ml C simulation: Vitis, g++", "generated RTL: alkaid's interpreter",
            "FINN's graph: thresholds, onnx execution")  # fmt: skip


def make_summary(
    *,
    wrong: int = 0,
    name: str = "",
    signals: Sequence[str] = ("Hbb", "Tbl"),
    by_mass: bool = False,
    learned: bool = False,
) -> FirmwareSummary:
    """A summary in which `wrong` events of each export differ, and `name` is in every text.

    by_mass: whether thresholds depend on the mass, and a file sets the rate. learned: whether
    widths were learned to a budget.
    """
    draw = random.Random(4)

    def interval() -> Interval:
        value = draw.uniform(0.05, 0.6)
        return Interval(value, value - draw.uniform(0.001, 0.04), value + draw.uniform(0.001, 0.04))

    efficiencies = {signal + name: interval() for signal in signals}
    stages = [
        Comparison(stage + name, 13000, None, None, 876 if number else None,
                   {signal: interval() for signal in efficiencies}, interval())
        for number, stage in enumerate(FLOATS)
    ]  # fmt: skip
    stages += [
        Comparison(stage + name, 13000, 13000 - wrong, 2 * wrong, wrong, efficiencies, interval())
        for stage in INTEGERS
    ]
    costs = (("alkaid estimate", 51498, 11635, 9, 1), ("yosys synth_xilinx -family xcup", 48074,
             9578, 9, 1), ("FINN estimate (1.6.1)", 4638, None, 868, 136))  # fmt: skip
    return FirmwareSummary(
        stages=tuple(stages),
        resources=tuple(
            Resources(tool=tool + name, lut=lut, ff=ff, dsp=30, bram=9, pipeline_stages=clocks,
                      initiation_interval=interval_)
            for tool, lut, ff, clocks, interval_ in costs
        ),
        seconds={f"train float encoder{name}": 31.25},
        exact=not wrong,
        model=ModelSummary(f"runs/best.ckpt{name}", "toy", 9, f"data{name}", "simulated", None,
                           f"Toy{name}", "liu2023"),
        events={"QCD": 4000, **dict.fromkeys(efficiencies, 1000)},
        background="QCD",
        design=DesignSummary(
            constituents=16, phi=(16, 8), rho=(16,), latent_dim=4, score="squared",
            outputs=("score", "decision"), rejection=100.0, weight_bits=6, activation_bits=8,
            input_bits=8, output_bits=10, part="xcvu13p-flga2577-2-e", clock_ns=2.5,
            threshold=5123, score_type="ufixed<20,8>", threshold_value=2.5,
            ports=(PortSummary(f"pt_rel{name}", "fixed<8,4>", 0.0625, 0.0, 10.0),),
            layers=(LayerSummary("phi.0", (16, 12), 0.125, "fixed<8,1>", "fixed<17,5>",
                                 "ufixed<8,3>"),),
            sum=SumSummary("ufixed<12,4>", "ufixed<10,4>"),
        ),
        background_firing=Interval(0.0088, 0.007, 0.0105),
        inputs_beyond_range=ClippedSummary(0.0003, {f"pt_rel{name}": 0.0003}),
        remarks=(f"Nothing was placed.{name}",),
        decorrelation=make_decorrelation(name) if by_mass else None,
        rate=RateSummary(1000.0, 4e7, Interval(1010.0, 910.0, 1120.0)) if by_mass else None,
        budget=make_budget() if learned else None,
    )  # fmt: skip


def make_budget() -> BudgetSummary:
    """Two starts with fixed and two with learned widths; one of these has two designs."""

    def at(*means: float | None) -> tuple[EfficiencyAt, ...]:
        intervals = [None if m is None else Interval(m, 0.9 * m, 1.1 * m) for m in means]
        return tuple(map(EfficiencyAt, (10.0, 100.0, 1000.0), intervals))

    rows = [  # learned, start, LUT, agreement, in the budget, chosen, efficiency at 100
        (False, 1, 44000, 0.70, False, False, 0.10),
        (False, 2, 48000, 0.72, False, False, 0.12),
        (True, 1, 24000, 0.75, True, True, 0.11),
        (True, 1, 60000, 0.85, False, False, 0.13),
        (True, 2, 23000, 0.71, True, False, 0.09),
    ]
    designs = tuple(
        DesignPoint(learned, start, 100, 5e4 if learned else None, lut, agreement, within, best,
                    at(0.4, mean, None))
        for learned, start, lut, agreement, within, best, mean in rows
    )  # fmt: skip
    return BudgetSummary(
        25000, 3, True, at(0.45, 0.135, 0.02), designs, Interval(0.02, 0.018, 0.022)
    )


def make_decorrelation(name: str = "") -> DecorrelationSummary:
    """Three bins of mass, in which one threshold passes ever more and thresholds by mass do not."""

    def passing(*shares: float, entropy: float, efficiency: Interval | None) -> PassingSummary:
        bins = tuple(Interval(share, 0.9 * share, 1.1 * share) for share in shares)
        chance = Interval(0.011, 0.006, 0.016)
        return PassingSummary(
            bins, bins[1], Interval(entropy, 0.9 * entropy, 1.1 * entropy), chance, efficiency
        )

    return DecorrelationSummary(
        column=f"jet_mass{name}",
        type="ufixed<8,9>",
        step=2.0,
        beyond_range=0.0125,
        shares=(0.5, 0.25, 0.125, 0.01),
        deciding=3,
        training_events=20000,
        edges=(20.0, 60.0, 100.0, 250.0),
        single=passing(0.001, 0.0102, 0.0301, entropy=0.345, efficiency=Interval(0.31, 0.3, 0.32)),
        by_mass=passing(0.0098, 0.0101, 0.0099, entropy=0.0123, efficiency=None),
    )
