"""Write anew what of `docs/commands.md` is made by program: `python -m tests.cli.regenerate`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from exporter.cli.flags import PROGRAM, Command, Flag
from exporter.cli.options import COMMANDS

DOCS = Path(__file__).parents[2] / "docs"
COMMANDS_PAGE = DOCS / "commands.md"
_BEGIN, _END = "<!-- commands: made by program -->\n", "<!-- end of commands -->\n"


def expected() -> str:
    """What the page must hold."""
    before, _, rest = COMMANDS_PAGE.read_text("utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    sections = "\n".join("\n".join(_section(command)) + "\n" for command in COMMANDS)
    return f"{before}{_BEGIN}\n{sections}\n{_END}{after}"


def _section(command: Command) -> Iterator[str]:
    words = "".join(f" {word.name}{'...' if word.repeatable else ''}" for word in command.words)
    yield f"### {command.name}"
    yield ""
    yield f"    {PROGRAM} {command.name}{' [flags]' if any(command.flags()) else ''}{words}"
    yield ""
    yield f"{command.text[0].upper()}{command.text[1:]}."
    yield ""
    for word in command.words:
        choices = f": {', '.join(word.choices)}" if word.choices else ""
        yield f"- `{word.name}`: {word.text}{choices}"
        yield ""
    if any(command.flags()):
        yield "| Flag | Environment | Default | What for |"
        yield "|---|---|---|---|"
        yield from map(_row, command.flags())
        yield ""
    for line, text in command.examples:
        yield f"    # {text}"
        yield f"    {PROGRAM} {line}"


def _row(flag: Flag) -> str:
    written = f"`{flag.name}={flag.metavar}`" if flag.metavar else f"`{flag.name}`"
    default = "required" if flag.required else f"`{flag.default}`" if flag.default else ""
    choices = ", ".join(f"`{choice}`" for choice in flag.choices)
    text = f"{flag.text}; one of {choices}" if choices else flag.text
    return f"| {written} | `{flag.env_name}` | {default} | {text} |"


if __name__ == "__main__":
    COMMANDS_PAGE.write_text(expected(), "utf-8")
