"""One rule says which texts become labels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.label_values import MAX_NAME_LENGTH, OVERFLOW_NAME, reject_label_value

PHONE = "380501234567"


@given(st.text(max_size=MAX_NAME_LENGTH + 1))
def test_a_name_that_the_configuration_accepts_is_a_label_everywhere(text: str) -> None:
    """The rule for configured names is the same rule, only stricter."""
    assert reject_label_value(text, configured=True) or not reject_label_value(text)


@pytest.mark.parametrize("text", [" ", " promo", "promo ", OVERFLOW_NAME])
def test_only_the_configuration_refuses_spaces_at_the_ends_and_the_reserved_name(text: str) -> None:
    """Programs name campaigns as they like; a person who writes such a name has made a mistake."""
    assert reject_label_value(text, configured=True)
    assert not reject_label_value(text)


@pytest.mark.parametrize("text", ["", "x" * (MAX_NAME_LENGTH + 1), "a\nb", f"promo {PHONE}"])
@pytest.mark.parametrize("configured", [False, True])
def test_what_can_never_be_a_label(text: str, *, configured: bool) -> None:
    """Nothing, too much, control characters, and a phone number in any place."""
    assert reject_label_value(text, configured=configured)
