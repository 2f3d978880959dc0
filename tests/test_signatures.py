"""Values checked against signatures: what passes, and what is said of what does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_hep.bounds import Count, Share
from anomaly_hep.errors import ConfigError
from anomaly_hep.signatures import built, checked


@dataclass(frozen=True)
class Inner:
    share: Share
    name: str = "inner"


@dataclass(frozen=True)
class Outer:
    count: Count
    inner: Inner
    table: Mapping[str, Inner]
    by_number: Mapping[int, float]
    listed: Sequence[Inner]
    either: Literal["auto"] | int | None = None


GOOD: dict[str, Any] = {
    "count": 2,
    "inner": {"share": 0.5},
    "table": {"a": {"share": 1}},
    "by_number": {11: 0.1},
    "listed": [{"share": 0, "name": "b"}],
}


def test_good_values_are_built_as_annotated() -> None:
    made = built(Outer, GOOD, "place")
    assert made.inner == Inner(0.5)
    assert made.table == {"a": Inner(1.0)}
    assert made.by_number == {11: 0.1}
    assert list(made.listed) == [Inner(0.0, "b")]
    assert made.either is None


@pytest.mark.parametrize(
    ("change", "named", "expected"),
    [
        ({"count": "2"}, "count=2", "a valid integer"),
        ({"count": 2.0}, "count=2.0", "a valid integer"),
        ({"count": True}, "count=true", "a valid integer"),
        ({"count": 0}, "count=0", "greater than or equal to 1"),
        ({"count": None}, "count=null", "a valid integer"),
        ({"inner": {"share": 2}}, "inner.share=2", "less than or equal to 1"),
        ({"inner": 1}, "inner=1", "a mapping"),
        ({"table": {"a": {"share": "x"}}}, "table.a.share=x", "a valid number"),
        ({"table": []}, "table=[]", "a mapping"),
        ({"listed": [{"share": 0}, {"share": []}]}, "listed.1.share=[]", "a valid number"),
        ({"either": "automatic"}, "either=automatic", "'auto' or a valid integer"),
    ],
)
def test_the_first_value_that_does_not_fit_is_named(
    change: dict[str, Any], named: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        built(Outer, GOOD | change, "place")
    assert str(refused.value) == f"place.{named}. Cure: it should be {expected}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"cuont": 1},
            "cuont does not exist. Did you mean count? Keys of place: by_number, count,",
        ),
        (
            {"inner": {"share": 0, "nam": 1}},
            "inner.nam does not exist. Did you mean name? Keys of place.inner: name, share",
        ),
        ({"inner": {}}, "inner.share is missing. Cure: place.inner.share=VALUE"),
    ],
)
def test_a_key_too_many_or_too_few_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        built(Outer, GOOD | change, "place")
    assert str(refused.value).startswith(f"place.{said}")


def test_a_value_that_is_left_out_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^count is missing. Cure: count=VALUE$"):
        built(Outer, {k: v for k, v in GOOD.items() if k != "count"}, "")


def test_of_two_takers_the_first_says_the_type_and_all_say_the_keys() -> None:
    def other(count: str = "", more: int = 0) -> None: ...

    assert checked([Inner, other], {"share": 0, "more": 1}, "p") == {"share": 0.0, "more": 1}
    with pytest.raises(ConfigError, match=r"p.count=1"):
        checked([Inner, other], {"share": 0, "count": 1}, "p")


def test_what_the_program_gives_itself_is_no_key() -> None:
    with pytest.raises(ConfigError, match=r"p.name does not exist"):
        checked([Inner], {"share": 0, "name": "x"}, "p", without=["name"])


def test_a_taker_of_anything_takes_more_but_checks_what_it_names() -> None:
    def anything(count: Count, **more: Any) -> None: ...

    assert checked([anything], {"count": 1, "x": 2}, "p") == {"count": 1, "x": 2}
    with pytest.raises(ConfigError, match=r"p.count=0"):
        checked([anything], {"count": 0, "x": 2}, "p")


def test_a_default_need_not_fit_its_type() -> None:
    def odd(count: int = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013

    assert checked([odd], {}, "p") == {}


@given(st.floats(allow_nan=False) | st.integers(-(2**63), 2**63 - 1))
def test_numbers_between_the_bounds_pass_and_others_do_not(value: float) -> None:
    if 0 <= value <= 1:
        assert checked([Inner], {"share": value}, "p") == {"share": value}
    else:
        with pytest.raises(ConfigError, match=r"^p.share=.*(less|greater|finite)"):
            checked([Inner], {"share": value}, "p")
