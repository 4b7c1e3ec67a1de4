"""Files that are almost right."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st


@st.composite
def mutate_seed(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of `seeds` with a piece cut out and another put in."""
    data = draw(st.sampled_from(seeds))
    start = draw(st.integers(0, len(data)))
    end = draw(st.integers(start, min(len(data), start + 30)))
    return data[:start] + draw(st.one_of(st.binary(max_size=8), st.sampled_from(seeds))) + data[end:]
