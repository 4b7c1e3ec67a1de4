"""Ids carry their index."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.message_ids import reject_reason
from exporter.simulator.identifiers import IdCodec

SEEDS = st.integers(0, 1 << 70)
INDEXES = st.integers(0, (1 << 60) - 1)


@given(SEEDS, INDEXES)
def test_an_id_reads_back_as_its_index(seed: int, index: int) -> None:
    """Whatever the seed, writing and reading are inverse."""
    codec = IdCodec(seed)
    assert codec.read(codec.write(index)) == index


@given(SEEDS, INDEXES)
def test_every_id_passes_the_exporter_s_own_check(seed: int, index: int) -> None:
    """No id is refused at an entrance, least of all for looking like a phone number."""
    assert reject_reason(IdCodec(seed).write(index)) == ""


@given(SEEDS, INDEXES, st.data())
def test_a_changed_uuid_is_nobody_s(seed: int, index: int, data: st.DataObject) -> None:
    """A UUID with one other digit in its second half is not taken for a message."""
    codec = IdCodec(seed)
    message_id = codec.write(index)
    if len(message_id) == 36:
        place = data.draw(st.integers(24, 35))
        digit = data.draw(st.sampled_from("0123456789abcdef").filter(lambda one: one != message_id[place]))
        assert codec.read(message_id[:place] + digit + message_id[place + 1 :]) == -1


@given(st.text(max_size=40))
def test_any_text_reads_as_an_index_or_as_nobody_s(text: str) -> None:
    """Nothing that can stand in a URL makes reading fail, and one index has one id."""
    codec = IdCodec(1)
    index = codec.read(text)
    assert index == -1 or codec.write(index) == text


@given(st.from_regex(r"\A[a-i][0-9a-z]{11}\Z"))
def test_one_index_has_one_short_id(text: str) -> None:
    """A short text that belongs to an index written as a UUID is nobody's."""
    codec = IdCodec(1)
    index = codec.read(text)
    assert index == -1 or codec.write(index) == text


def test_both_shapes_of_ids_occur_and_never_twice() -> None:
    """Of 10,000 ids all differ, about two in five are UUIDs, the others have 12 characters."""
    codec = IdCodec(7)
    ids = [codec.write(index) for index in range(10_000)]
    assert len(set(ids)) == 10_000
    assert {len(message_id) for message_id in ids} == {12, 36}
    assert 3_800 < sum(len(message_id) == 36 for message_id in ids) < 4_200


def test_another_seed_gives_other_ids() -> None:
    """Two simulators don't know each other's messages."""
    other = IdCodec(2)
    assert max(other.read(IdCodec(1).write(index)) for index in range(100)) not in range(1_000_000)
    assert {IdCodec(1).write(index) for index in range(100)}.isdisjoint(other.write(i) for i in range(100))
