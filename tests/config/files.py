"""A configuration file that works, for tests that change one thing about it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from exporter.config import Report, check

ACCOUNT = """
accounts:
  - name: main
    base_url: https://restapi.smsbat.com
    auth: {api_key_file: key}
"""


def check_text(
    directory: Path, text: str, environ: Mapping[str, str] | None = None, mode: int = 0o600
) -> Report:
    """Check `text` in a file in `directory`."""
    path = directory / "config.yaml"
    path.write_text(text)
    path.chmod(mode)
    return check(path, environ or {})
