"""Headers and the beginnings of sample lines, spelt as the client library spells them.

Every piece begins with the line feed that ends the line before it, but for
headers, which begin a family.
"""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client.utils import floatToGoString

from exporter.metrics.catalogue import Family, Type

MAX_EXEMPLAR_CHARACTERS = 128
"""Of names and values of an exemplar's labels together; Prometheus refuses a scrape that has more."""
_EXEMPLAR_LABEL = "message_id"


def number(value: float) -> str:
    """A sample's value or a bound, as Go prints it: `1.0`, `1.5e+06`, `+Inf`."""
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]  # the library leaves it untyped
    return text


def header(family: Family, *, openmetrics: bool) -> str:
    """The comment lines before a family's samples; help texts are ours, and need no escapes."""
    if not openmetrics:
        return f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.type}"
    unit = f"\n# UNIT {family.base_name} {family.unit}" if family.unit else ""
    return f"# HELP {family.base_name} {family.help}\n# TYPE {family.base_name} {family.type}{unit}"


def created_header(family: Family) -> str:
    """The family of their own that `_created` samples are in text 0.0.4, which knows none."""
    name = f"{family.base_name}_created"
    return f"\n# HELP {name} {family.help}\n# TYPE {name} {Type.GAUGE}"


def exemplar_text(message_id: str, value: float, at_seconds: float) -> str:
    """What follows a bucket's value: the message that stands for it; nothing for an id that is too long."""
    if len(_EXEMPLAR_LABEL) + len(message_id) > MAX_EXEMPLAR_CHARACTERS:
        return ""
    return f' # {{{_EXEMPLAR_LABEL}="{message_id}"}} {number(value)} {at_seconds}'


def line_template(name: str, labels: Sequence[str]) -> str:
    """What stands before a sample's value, to be filled with `line_values`; labels are sorted by name."""
    if not labels:
        return f"\n{name} "
    pairs = ",".join(f'{label}="%({label})s"' for label in sorted(labels))
    return f"\n{name}{{{pairs}}} "


def line_values(labels: Sequence[str], values: Sequence[str]) -> dict[str, str]:
    r"""Label values for `line_template`; `\`, `"` and line feeds are the three that need an escape."""
    return {
        label: value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
        for label, value in zip(labels, values, strict=True)
    }
