"""Settings of the command fpga: types and bounds, each refused by its key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from anomaly_hep.checking import settings_of
from anomaly_hep.configuration import compose
from anomaly_hep.errors import ConfigError
from anomaly_hep.fpga.design_settings import check_budget
from tests.fpga.models import read_fpga_settings


def test_every_export_has_its_settings() -> None:
    found = read_fpga_settings()
    assert found.rtl is not None
    assert found.hls4ml is not None
    assert found.finn is not None
    assert found.phi == (16, 8)
    assert found.inputs is None  # those that the data name
    assert found.precision == {
        "weight_bits": 6, "activation_bits": 8, "input_bits": 8, "output_bits": 10,
    }  # fmt: skip
    alone = read_fpga_settings("fpga=rtl")
    assert (alone.hls4ml, alone.finn) == (None, None)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+fpga.corrupt=one_weight", "fpga.corrupt does not exist. Keys of fpga: activation_bits"),
        ("+fpga.rtl.stages=3", "fpga.rtl.stages does not exist. Keys of fpga.rtl: delay_per_stage"),
        ("fpga.score=chamfer", "fpga.score=chamfer. Cure: it should be 'squared' or 'kl'"),
        ("fpga.outputs=[]", "fpga.outputs=[]. Cure: it should be a list that has at least 1 item"),
        ("fpga.outputs=[score,latent]", "fpga.outputs.1=latent. Cure: it should be 'score', 'q"),
        ("fpga.float_steps=many", "fpga.float_steps=many. Cure: it should be a valid integer"),
        ("fpga.constituents=0", "fpga.constituents=0. Cure: it should be greater than or equal to"),
        ("fpga.weight_bits=3.5", "fpga.weight_bits=3.5. Cure: it should be a valid integer"),
        ("fpga.phi=[8,0]", "fpga.phi.1=0. Cure: it should be greater than or equal to 1"),
        ("fpga.finn.events_per_second=-1", "fpga.finn.events_per_second=-1. Cure: it should be gr"),
        ("fpga.decorrelate=pt", "fpga.decorrelate=pt. Cure: it should be 'mass'"),
        ("fpga.mass_bits=1", "fpga.mass_bits=1. Cure: it should be greater than or equal to 2"),
        ("fpga.cycles=3", "fpga.cycles=3. Cure: it should be 1, 2, 4 or 8"),
        ("fpga.clock_ns=0", "fpga.clock_ns=0. Cure: it should be greater than 0"),
        ("fpga.rtl.simulated_events=0", "fpga.rtl.simulated_events=0. Cure: it should be greater"),
    ],
)
def test_a_bad_value_is_named_with_what_is_expected(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_fpga_settings(override)


@pytest.mark.parametrize(
    ("choices", "own", "message"),
    [
        (["fpga=rtl", "fpga.order_aware=true"], None, "order_aware=true gives .* Cure: fpga.tar"),
        (["fpga=hls4ml", "fpga.target_lut=900"], None, "hls4ml and FINN have .* Cure: fpga=rtl"),
        (["fpga=rtl", "fpga.target_lut=900"], Path("a.ckpt"), "encoder of a.ckpt goes .* Cure: "),
        (["fpga=rtl", "fpga.target_lut=900", "fpga.order_aware=true", "fpga.cycles=2"], None,
         "fpga.cycles=2 shares phi .* Cure: fpga.cycles=1"),
    ],
)  # fmt: skip
def test_what_no_training_to_a_budget_can_have_is_refused(
    choices: list[str], own: Path | None, message: str
) -> None:
    settings = settings_of("fpga", compose("fpga", choices)).fpga
    with pytest.raises(ConfigError, match=message):
        check_budget(settings, own)


@pytest.mark.parametrize("exports", ["all", "rtl", "emulator"])
def test_a_budget_is_welcome_where_an_export_can_hold_learned_widths(exports: str) -> None:
    choices = [f"fpga={exports}", "fpga.target_lut=900", "fpga.order_aware=true"]
    check_budget(settings_of("fpga", compose("fpga", choices)).fpga, None)
