"""What comes from others: under which licences, and what is known to be wrong with it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageMetadata, distribution, distributions
from pathlib import Path
from typing import Any

import pytest

from tests.kit.processes import ROOT, environment

ALLOWED = {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0"}
"""What a company may pass on in an image, unchanged, without asking anybody: SPDX names.

MPL-2.0 binds who changes the files that are under it, and nobody else.
"""
WORDS = {
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""How metadata from before SPDX says the same."""
READ = {"promql-parser": "MIT"}
"""Of those whose metadata says nothing: what their licence file says."""


def _name(found: Distribution) -> str:
    return re.sub(r"[-_.]+", "-", found.name).lower()


def _licences(metadata: PackageMetadata) -> Iterator[str]:
    """Every licence that the metadata names, whether all of them hold or one may choose."""
    classifiers = [
        line.rsplit(" :: ", 1)[-1]
        for line in metadata.get_all("Classifier") or ()
        if line.startswith("License")
    ]
    # The newest way to say it comes first; the older two are often vague.
    for said in metadata.get_all("License-Expression") or classifiers or metadata.get_all("License") or [""]:
        for licence in [said] if said in WORDS else re.split(r" (?:AND|OR|WITH) |[()]", said):
            yield WORDS.get(licence, licence)


def _refused(found: Distribution, allowed: set[str]) -> set[str]:
    """The licences of a distribution that are not `allowed`; `nothing` where it has none."""
    if _name(found) in READ:
        return {READ[_name(found)]} - allowed
    return {licence or "nothing" for licence in _licences(found.metadata)} - allowed


def test_what_is_shipped_may_be_passed_on() -> None:
    """Each package that runs beside ours has a licence that asks nothing of those who run it."""
    pins = re.findall(r"^(\S+)==", (ROOT / "requirements" / "run.txt").read_text("ascii"), re.MULTILINE)
    refused = {name: _refused(distribution(name), ALLOWED) for name in pins}
    assert len(pins) > 10
    assert {name: licences for name, licences in refused.items() if licences} == {}


def test_every_tool_may_be_used() -> None:
    """Nothing that is installed for tests and checks has a licence that nobody looked at."""
    refused = {_name(found): _refused(found, ALLOWED) for found in distributions()}
    assert {name: licences for name, licences in refused.items() if licences} == {}


def _report(*vulns: dict[str, Any]) -> str:
    return json.dumps(
        {"dependencies": [{"name": "aiohttp", "version": "3.9.0", "vulns": vulns}], "fixes": []}
    )


_SKIPPED = json.dumps({"dependencies": [{"name": "aiohttp", "skip_reason": "not found"}], "fixes": []})
_ADVISORY = {"id": "PYSEC-2024-24", "fix_versions": ["3.9.2"]}


@pytest.mark.parametrize(
    ("report", "log", "exit_code", "said"),
    [
        (_report(), "No known vulnerabilities found", 0, "no known vulnerability in 1 packages"),
        (_report(_ADVISORY), "", 1, "aiohttp 3.9.0: PYSEC-2024-24, fixed in 3.9.2"),
        (_SKIPPED, "No known vulnerabilities found", 0, "NOT DONE for 1 of 1 packages"),
        ("", "ConnectionError: Failed to resolve the host", 0, "database could not be reached"),
        ("", "the requirements are no requirements", 1, "pip-audit failed"),
    ],
    ids=["nothing", "found", "unknown", "unreachable", "broken"],
)
def test_an_audit_never_passes_in_silence(
    tmp_path: Path, report: str, log: str, exit_code: int, said: str
) -> None:
    """What is found fails; what could not be asked is said, and is neither a failure nor an all-clear."""
    (tmp_path / "report").write_text(report)
    (tmp_path / "log").write_text(log)
    auditor = tmp_path / "pip-audit"
    auditor.write_text(f"#!/bin/sh\ncat '{tmp_path}/report'\ncat '{tmp_path}/log' >&2\nexit 1\n")
    auditor.chmod(0o755)
    env = environment(AUDIT=str(auditor))
    done = subprocess.run(
        [str(ROOT / "scripts" / "audit")], env=env, check=False, capture_output=True, text=True
    )
    assert done.returncode == exit_code, done.stderr
    assert said in done.stdout + done.stderr
    assert ("no known" in done.stdout) == (said.startswith("no known"))
