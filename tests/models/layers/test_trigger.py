"""The trigger's Deep Set: what reaches the sum, and what its numbers can be."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from anomaly_hep.errors import ConfigError
from anomaly_hep.models.layers.jagged import Jagged
from anomaly_hep.models.layers.quantized import Precision
from anomaly_hep.models.layers.trigger import (
    TriggerEncoder,
    TriggerPosterior,
)
from anomaly_hep.models.setvae import SetVAE
from tests.models.jets import random_batch, rows_of, settings_of

NAMES = ("pt_rel", "delta_eta", "delta_phi", "log_pt")
RANGES = {"pt_rel": 8.0, "log_pt": 4.0}
BITS = {"weight_bits": 5, "activation_bits": 6, "input_bits": 7, "output_bits": 8}
PRECISIONS = [None, BITS]
# fewer particles than the 3 places, as many, more, and none
LENGTHS = [2, 3, 7, 0, 5]


def _encoder(precision: dict[str, int] | None = None, **changes: Any) -> TriggerEncoder:
    torch.manual_seed(3)
    settings: dict[str, Any] = {"ranges": [2.0, 1.0], "outputs": 4, "constituents": 3}
    settings |= {"phi": [6, 5], "rho": [7], "precision": precision, **changes}
    return _ready(TriggerEncoder(**settings))


def _posterior(precision: dict[str, int] | None = None) -> TriggerPosterior:
    torch.manual_seed(3)
    posterior = TriggerPosterior(
        names=NAMES, flags=2, ranges=RANGES, latent_dim=2,
        constituents=3, phi=[6, 5], rho=[7], precision=precision,
    )  # fmt: skip
    _ready(posterior.network)
    return posterior.eval()


def _ready(encoder: TriggerEncoder) -> TriggerEncoder:
    """Show it batches as a training does, from which the activations' scales follow."""
    if encoder.precision:
        for _ in range(35):
            encoder(torch.randn(50, encoder.constituents, len(encoder.ranges)))
    return encoder.eval()


def _jets(seed: int = 0) -> tuple[Tensor, Jagged]:
    """Particles with the four features and two flags."""
    return random_batch(LENGTHS, seed=seed, features=6).features, Jagged(torch.tensor(LENGTHS))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_nothing_in_gives_nothing_to_the_sum(precision: dict[str, int] | None) -> None:
    encoder = _encoder(precision)
    assert not encoder.phi(encoder.input(torch.zeros(1, 4, 2))).any()
    assert not any(name.endswith("bias") for name, _ in encoder.phi.named_parameters())


@pytest.mark.parametrize("rho", [[7], []])
def test_the_context_enters_beside_the_sum(rho: list[int]) -> None:
    encoder = _encoder(None, rho=rho, context_ranges=[4.0, 0.5])
    assert (encoder.rho[0] if rho else encoder.head).in_features == 5 + 2
    jets, context = torch.randn(6, 3, 2), torch.randn(6, 2)
    total = torch.stack([encoder.phi(event / torch.tensor([2.0, 1.0])).sum(0) for event in jets])
    own = torch.stack([context[:, 0] / 4, context[:, 1] / 0.5], 1)
    expected = encoder.head(encoder.rho(torch.cat([total, own], 1)))
    torch.testing.assert_close(encoder(jets, context), expected)
    assert encoder.macs(3) == 3 * (2 * 6 + 6 * 5) + (7 * 7 + 7 * 4 if rho else 7 * 4)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_places_behind_the_last_particle_add_nothing(precision: dict[str, int] | None) -> None:
    encoder = _encoder(precision)
    jets = torch.randn(20, 2, 2)
    padded = torch.cat([jets, torch.zeros(20, 9, 2)], dim=1)
    # integers are equal; a float product may round differently in a larger matrix
    tolerance = 1e-6 if precision is None else 0.0
    torch.testing.assert_close(encoder(padded), encoder(jets), rtol=0.0, atol=tolerance)
    assert len(encoder(jets).unique()) > 10


def test_the_float_encoder_is_head_of_rho_of_the_sum_of_phi() -> None:
    encoder = _encoder().double()
    jets = torch.randn(4, 3, 2, dtype=torch.float64)
    state = {name: values.tolist() for name, values in encoder.state_dict().items()}

    def linear(name: str, x: list[float]) -> list[float]:
        bias = state.get(f"{name}.bias", [0.0] * len(state[f"{name}.weight"]))
        rows = zip(state[f"{name}.weight"], bias, strict=True)
        return [sum(w * v for w, v in zip(row, x, strict=True)) + b for row, b in rows]

    def relu(x: list[float]) -> list[float]:
        return [max(v, 0.0) for v in x]

    for jet, found in zip(jets.tolist(), encoder(jets), strict=True):
        total = [0.0] * 5
        for first, second in jet:
            features = relu(linear("phi.2", relu(linear("phi.0", [first / 2, second]))))
            total = [a + b for a, b in zip(total, features, strict=True)]
        expected = linear("head", relu(linear("rho.0", total)))
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_order_of_the_particles_does_not_matter(precision: dict[str, int] | None) -> None:
    posterior = _posterior(precision)
    flat, segments = _jets()
    shuffled = torch.cat([flat[rows][torch.randperm(len(flat[rows]))] for rows in rows_of(LENGTHS)])
    assert not torch.equal(flat, shuffled)
    for one, other in zip(posterior(flat, segments), posterior(shuffled, segments), strict=True):
        torch.testing.assert_close(one, other, rtol=0.0, atol=1e-6 if precision is None else 0.0)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_only_the_hardest_particles_matter(precision: dict[str, int] | None) -> None:
    posterior = _posterior(precision)
    flat, segments = _jets()
    flat[:, 0] += 0.01
    before = torch.cat(posterior(flat, segments), dim=1)
    softest, hard = flat.clone(), flat.clone()
    jet = rows_of(LENGTHS)[2]
    order = flat[jet, 0].argsort(descending=True) + jet.start
    # softer still, and everything else of them another
    softest[order[3:]] = 5.0
    softest[order[3:], 0] = 0.001
    assert torch.equal(torch.cat(posterior(softest, segments), dim=1), before)
    hard[order[2], 3] = -3.5
    changed = (torch.cat(posterior(hard, segments), dim=1) != before).any(1)
    assert changed.tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_features_that_the_trigger_lacks_do_not_matter(precision: dict[str, int] | None) -> None:
    posterior = _posterior(precision)
    flat, segments = _jets()
    before = torch.cat(posterior(flat, segments), dim=1)
    for column, used in enumerate([True, False, False, True, True, True]):
        changed = flat.clone()
        # in the hardest of the first jet, and it stays the hardest
        changed[:2, column] += 1.0
        differs = (torch.cat(posterior(changed, segments), dim=1) != before).any()
        assert bool(differs) == used, column


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_jet_without_particles_has_the_outputs_of_zeros(precision: dict[str, int] | None) -> None:
    posterior = _posterior(precision)
    flat, segments = _jets()
    mean, log_variance = posterior(flat, segments)
    nothing = posterior.network(torch.zeros(1, 3, posterior.network.ranges.numel()))[0]
    # integers are equal; a float product rounds differently in a matrix of another shape
    tolerance = 1e-6 if precision is None else 0.0
    found = torch.cat([mean[3], log_variance[3]])
    torch.testing.assert_close(found, nothing, rtol=0.0, atol=tolerance)
    assert torch.isfinite(nothing).all()
    none = torch.zeros(0, 6), Jagged(torch.tensor([0, 0]))
    assert all(torch.isfinite(part).all() for part in posterior(*none))


@given(
    st.lists(
        # few values, so that particles share one
        st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), max_size=6),
        max_size=5,
    )
)
def test_ranks_are_places_in_a_sort_of_each_jet(jets: list[list[float]]) -> None:
    flat = torch.tensor([value for jet in jets for value in jet], dtype=torch.float32)
    segments = Jagged(torch.tensor([len(jet) for jet in jets], dtype=torch.int64))
    expected = []
    for jet in jets:
        # among equals the first in the file comes first
        order = sorted(range(len(jet)), key=lambda place: (-jet[place], place))
        expected += [order.index(place) for place in range(len(jet))]
    assert segments.ranks(flat).tolist() == expected


@torch.no_grad()
def test_quantised_numbers_are_multiples_of_powers_of_two() -> None:
    encoder = _encoder(BITS)
    outputs = encoder(4 * torch.randn(500, 3, 2))
    scales = {
        name: float(module.act_quant.scale())
        for name, module in encoder.named_modules()
        if getattr(module, "act_quant", None) is not None and module.act_quant.is_quant_enabled
    }
    assert {"input", "phi.1", "phi.3", "pool", "rho.1", "output"} == set(scales)
    linear = [module for module in encoder.modules() if hasattr(module, "quant_weight")]
    assert len(linear) == 4
    weights = [float(module.quant_weight().scale) for module in linear]
    biases = [float(module.quant_bias().scale) for module in linear if module.bias is not None]
    for scale in (*scales.values(), *weights, *biases):
        exact = Fraction(scale)
        # a power of two: one bit above the line or below it, and 1 on the other side
        assert exact.numerator.bit_count() == exact.denominator.bit_count() == 1
    units = [Fraction(value) / Fraction(scales["output"]) for value in outputs.flatten().tolist()]
    assert all(unit.denominator == 1 and -128 <= unit < 128 for unit in units)
    assert len(set(units)) > 50


def test_inputs_saturate_at_their_ranges() -> None:
    encoder = _encoder(BITS)
    scale = Fraction(float(encoder.input.act_quant.scale()))
    assert scale == Fraction(1, 64)
    values = torch.tensor([[[-9.0, -1.5]], [[-2.0, -1.0]], [[9.0, 1.5]], [[1.99, 0.99]]])
    rounded = encoder.input(values / encoder.ranges).tolist()
    assert rounded == [[[-1.0, -1.0]], [[-1.0, -1.0]], [[63 / 64, 63 / 64]], [[63 / 64, 63 / 64]]]


def test_macs_by_hand() -> None:
    encoder = _encoder(ranges=[2.0, 1.0, 4.0])
    phi, rho, head = 3 * 6 + 6 * 5, 5 * 7, 7 * 4
    assert encoder.macs(40.0) == 3 * phi + rho + head
    assert encoder.macs(1.5) == 1.5 * phi + rho + head
    # scales that are learned multiply nothing
    assert _encoder(BITS, ranges=[2.0, 1.0, 4.0]).macs(3) == encoder.macs(3)
    assert _encoder(rho=[]).macs(1) == 2 * 6 + 6 * 5 + 5 * 4


@pytest.mark.parametrize("limit", [3.0, 0.0, -2.0, 0.75, float("nan"), float("inf")])
def test_a_range_that_is_no_power_of_two_is_refused(limit: float) -> None:
    with pytest.raises(ConfigError, match=r"not a power of two\. Cure: choose one"):
        _encoder(ranges=[1.0, limit])


@pytest.mark.parametrize("limit", [0.125, 1, 64.0])
def test_every_power_of_two_is_a_range(limit: float) -> None:
    assert _encoder(ranges=[limit, 1.0]).ranges.tolist() == [limit, 1.0]


@pytest.mark.parametrize("changes", [{"constituents": 0}, {"phi": []}])
def test_nothing_to_sum_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="Cure: choose at least one of each"):
        _encoder(**changes)


def test_a_range_of_no_feature_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"ranges\.mass is no feature.*pt_rel, delta_eta"):
        TriggerPosterior(
            names=NAMES, flags=0, ranges={"pt_rel": 8.0, "mass": 1.0}, latent_dim=2,
            constituents=3, phi=[4], rho=[], precision=None,
        )  # fmt: skip


@pytest.mark.parametrize("name", BITS)
@pytest.mark.parametrize("bits", [1, 13])
def test_bits_that_no_layer_has_are_refused(name: str, bits: int) -> None:
    highest = 8 if name in ("weight_bits", "activation_bits") else 12
    with pytest.raises(ConfigError, match=rf"{name}={bits}\. Cure: choose 2 to {highest} bits"):
        Precision.of(BITS | {name: bits})
    for allowed in (2, highest):
        assert getattr(Precision.of(BITS | {name: allowed}), name) == allowed
    with pytest.raises(ConfigError, match="Cure"):
        Precision.of(BITS | {name: highest + 1})


@pytest.mark.parametrize(
    "settings", [{}, {"weight_bits": 6}, BITS | {"bias_bits": 8}, {**BITS, "bits": 3}]
)
def test_a_precision_has_exactly_its_keys(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="Cure: give exactly weight_bits, activation_bits, input"):
        Precision.of(settings)


@pytest.mark.parametrize("kind", ["deepset", "transformer"])
def test_only_the_triggers_encoder_is_quantised(kind: str) -> None:
    settings = settings_of("model=setvae", f"model/encoder={kind}") | {"quantization": BITS}
    del settings["name"], settings["_target_"]
    with pytest.raises(ConfigError, match=rf"{kind}.*Cure: model/encoder=trigger"):
        SetVAE(**settings)
    own = settings_of("model=setvae", "model/encoder=trigger")["encoder"]
    model = SetVAE(**settings | {"encoder": own})
    assert model.encoder.network.precision == BITS


def test_a_new_encoder_is_in_training_whatever_another_one_is_in() -> None:
    _encoder(BITS).eval()
    new = TriggerEncoder(ranges=[2.0], outputs=2, constituents=2, phi=[3], rho=[], precision=BITS)
    assert all(module.training for module in new.modules())
