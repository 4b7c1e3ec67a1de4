"""Whatever a web configuration contains, it is accepted or its problems are reported."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from exporter.config.error_messages import list_known_keys
from exporter.http.webconfig import check_web_config, compute_fingerprint
from exporter.http.webconfig.sections import WebFile
from tests.http.authority import write_certificates
from tests.http.test_web_config import BAD, GOOD
from tests.kit.fuzzing import mutate_seed

SEEDS = [path.read_bytes() for path in (*GOOD, *BAD)]
SECTIONS = list_known_keys((), WebFile)
WORDS = sorted({key for section in SECTIONS for key in list_known_keys((section,), WebFile)} | {"alice"})
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=20),
    st.sampled_from(["server.crt", "server.key", ".", "/dev/zero", "TLS12", "X25519", "$2y$10$", "1s", "0"]),
)
trees = st.dictionaries(
    st.sampled_from(SECTIONS),
    st.one_of(leaves, st.dictionaries(st.one_of(st.sampled_from(WORDS), leaves), leaves, max_size=6)),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the certificates."""
    return write_certificates(tmp_path_factory.mktemp("fuzz"))


@hypothesis_settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(mutate_seed(SEEDS), trees.map(lambda tree: yaml.safe_dump(tree).encode()), st.binary()))
def test_any_file_is_accepted_or_its_problems_are_reported(folder: Path, data: bytes) -> None:
    """Never an unexpected exception; and the fingerprint is that of the bytes that were read."""
    path = folder / "web.yml"
    path.write_bytes(data)
    report = check_web_config(path)
    assert (report.config is None) == bool(report.problems)
    assert compute_fingerprint(report.files) == report.fingerprint
    assert all(problem.render("web.yml").isprintable() for problem in report.problems if not problem.hint)
