"""Which format a scraper gets is decided by its Accept header."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.exposition import choose_encoder

from exporter.metrics.exposition import Format, negotiate


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", Format.TEXT),
        ("*/*", Format.TEXT),
        ("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", Format.TEXT),
        ("application/openmetrics-text", Format.OPENMETRICS),
        ("application/openmetrics-text; version=1.0.0", Format.OPENMETRICS),
        ("application/openmetrics-text;version=0.0.1", Format.TEXT),
        # What Prometheus 2 and 3 send, and 3 without OpenMetrics.
        (
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
                "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
            ),
            Format.OPENMETRICS,
        ),
        (
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
                "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;"
                "escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
            ),
            Format.OPENMETRICS,
        ),
        ("text/plain;version=1.0.0;q=0.5,application/openmetrics-text;version=1.0.0;q=0.4", Format.TEXT),
    ],
)
def test_the_accept_header_is_read_as_the_library_reads_it(accept: str, form: Format) -> None:
    """Which of the two formats; versions and escapes that we don't print are not promised."""
    assert negotiate(accept) is form
    assert ("openmetrics" in choose_encoder(accept)[1]) == (form is Format.OPENMETRICS)


@given(
    accept=st.text()
    | st.lists(
        st.sampled_from(
            [
                "application/openmetrics-text",
                "text/plain",
                ";",
                "version=",
                "1.0.0",
                "0.0.4",
                ",",
                " ",
                "q=0",
                "x",
            ]
        )
    ).map("".join)
)
def test_any_accept_header_is_answered(accept: str) -> None:
    """Whatever it says, one of two formats is the answer."""
    assert negotiate(accept) in Format
