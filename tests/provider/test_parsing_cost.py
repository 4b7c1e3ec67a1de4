"""The exact cost of a message, or that it is unknown."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.domain.model import Status
from tests.provider.test_parsing import PHONE, parse_answer_with


@pytest.mark.parametrize(
    ("literals", "cost_nanos", "currency", "invalid"),
    [
        ('"partscount": 1', None, "", False),
        ('"cost": null, "billAmount": null, "billCurrency": null', None, "", False),
        ('"cost": 0.05', 50_000_000, "", False),
        ('"cost": 0', 0, "", False),
        ('"cost": 0.00', 0, "", False),
        ('"cost": -0.0', 0, "", False),
        ('"cost": 5e-2', 50_000_000, "", False),
        ('"cost": 1000000000', 10**18, "", False),
        ('"cost": 0.1, "billAmount": 0.2, "billCurrency": "EUR"', 200_000_000, "EUR", False),
        ('"cost": "free", "billAmount": 0.2, "billCurrency": "EUR"', 200_000_000, "EUR", False),
        # Half a bill is no bill: the cost in the account's currency is.
        ('"cost": 0.1, "billAmount": 0.2', 100_000_000, "", False),
        ('"cost": 0.1, "billCurrency": "EUR"', 100_000_000, "", False),
        ('"cost": 0.1, "billAmount": 0.2, "billCurrency": "eur"', 100_000_000, "", False),
        ('"cost": 0.1, "billAmount": 0.2, "billCurrency": "EURO"', 100_000_000, "", False),
        ('"cost": 0.1, "billAmount": 0.2, "billCurrency": 978', 100_000_000, "", False),
        (f'"cost": 0.1, "billAmount": 0.2, "billCurrency": "{PHONE}"', 100_000_000, "", False),
        # An invalid amount is reported, whether or not there is another one.
        ('"cost": 0.1, "billAmount": -0.2, "billCurrency": "EUR"', 100_000_000, "", True),
        ('"billAmount": 0.2', None, "", True),
        ('"billAmount": 0.2, "billCurrency": "?"', None, "", True),
        ('"cost": -0.01', None, "", True),
        ('"cost": -1', None, "", True),
        ('"cost": "0.05"', None, "", True),
        ('"cost": true', None, "", True),
        ('"cost": []', None, "", True),
        ('"cost": 1e400', None, "", True),
        ('"cost": 1e99999999999999999999', None, "", True),
        ('"cost": 1000000000.000000001', None, "", True),
        ('"cost": 1000000001', None, "", True),
        (f'"cost": {"9" * 4000}', None, "", True),
    ],
)
def test_the_cost_is_the_bill_else_the_cost_else_nothing(
    literals: str, cost_nanos: int | None, currency: str, *, invalid: bool
) -> None:
    """A bill counts if amount and currency are valid; else that is reported, and the status still counts."""
    answer = parse_answer_with(literals)
    assert (answer.cost_nanos, answer.currency, answer.cost_invalid) == (cost_nanos, currency, invalid)
    assert answer.status is Status.DELIVERED


@given(
    st.integers(0, 10**9 - 1),
    st.text("0123456789", min_size=1, max_size=60),
    st.sampled_from(["", "e0", "E-3"]),
)
@example(0, "0000000005", "")
@example(0, "0000000015", "")
@example(0, "00000000050000000000000000000000000000000000000000000001", "")
def test_costs_are_exact_to_a_billionth(units: int, digits: str, exponent: str) -> None:
    """Any number of digits comes to the nearest billionth, halves to the even one, as fractions say."""
    literal = f"{units}.{digits}{exponent}"
    assert parse_answer_with(f'"cost": {literal}').cost_nanos == round(Fraction(literal) * 10**9)
