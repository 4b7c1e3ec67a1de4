"""Wrong usage of every kind: what is wrong, the exact line to type instead, and exit code 2."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator

import pytest

from exporter.cli.flags import PROGRAM, Command, Flag
from exporter.cli.main import parse
from exporter.cli.options import COMMANDS, EXAMPLES, LOG_FORMATS, LOG_LEVELS
from exporter.runtime.errors import UsageError
from exporter.runtime.log import FORMATS, LEVELS

PHONE = "+380501234567"
WRONG_VALUES = ("", "\N{NO-BREAK SPACE}", PHONE, "-1,5", "9" * 400)
GARBLED = "{0}x", "{0}{0}"


def refused(argv: list[str], environ: dict[str, str] | None = None) -> UsageError:
    """The error of a command line that can't be followed."""
    with pytest.raises(UsageError) as caught:
        parse(argv, environ or {})
    return caught.value


def typed(line: str) -> None:
    """Type a line as a hint or an example has it: it must be understood."""
    words = shlex.split(line.partition(" >")[0])
    environ = dict(word.split("=", 1) for word in itertools.takewhile(lambda word: word != PROGRAM, words))
    argv = words[len(environ) + 1 :]
    if argv[-1] in {"--help", "--version"}:
        with pytest.raises(SystemExit) as ended:
            parse(argv, environ)
        assert ended.value.code == 0
    else:
        parse(argv, environ)


def assert_helpful(error: UsageError) -> None:
    """It says in one line what is wrong, and what can be typed; nothing private is repeated."""
    assert error.exit_code == 2
    first, hint = error.render().split("\n")
    assert re.search(r" \[SMSBAT-U\d{3}\]$", first)
    typed(hint.partition("try: ")[2])
    assert PHONE not in error.render()


def _wrong_values(flag: Flag) -> Iterator[str]:
    """Values that this flag can't have."""
    for value in WRONG_VALUES:
        if not value and flag.may_be_empty:
            continue
        try:
            if not flag.choices and value:
                flag.read(value)
                continue
        except ValueError:
            pass
        yield value


def _cases() -> Iterator[tuple[str, list[str]]]:
    """Every command with every flag, wrong in every way."""
    for command in COMMANDS:
        usual = shlex.split(command.usual)
        yield f"{command.name} misspelt", [f"{command.name[:-1]}q", *usual]
        yield f"{command.name} with an unknown flag", [command.name, *usual, "--no-such-flag=1"]
        yield f"{command.name} with an unknown letter", [command.name, *usual, "-z"]
        yield f"{command.name} --help=1", [command.name, "--help=1"]
        if not any(word.repeatable for word in command.words):
            yield f"{command.name} with a word too many", [command.name, *usual, PHONE]
        if command.words or any(flag.required for flag in command.flags()):
            yield f"{command.name} alone", [command.name]
        for word in command.words:
            if not word.repeatable:
                yield f"{command.name} with an empty {word.name}", [command.name, ""]
            if word.choices:
                yield f"{command.name} with a wrong {word.name}", [command.name, PHONE]
        for flag in command.flags():
            named = f"{command.name} {flag.name}"
            yield f"{named} misspelt", [command.name, f"{flag.name}x=1", *usual]
            yield f"{named} cut", [command.name, f"{flag.name[:-1]}", *usual]
            if not flag.metavar:
                yield f"{named} with a value", [command.name, f"{flag.name}={PHONE}", *usual]
                continue
            yield f"{named} at the end", [command.name, *usual, flag.name]
            for value in _wrong_values(flag):
                yield f"{named}={value[:20]!r}", [command.name, f"{flag.name}={value}", *usual]


CASES = dict(_cases())


@pytest.mark.parametrize("argv", CASES.values(), ids=CASES.keys())
def test_every_wrong_usage_has_a_hint_that_can_be_typed(argv: list[str]) -> None:
    """Whatever is wrong with whichever command and flag."""
    assert_helpful(refused(argv))


@pytest.mark.parametrize(
    "argv", [[], [""], ["fly"], [PHONE], ["--config.file=x"], ["--hlep"], ["-v"], ["x" * 5000]]
)
def test_a_line_without_a_command_shows_where_to_begin(argv: list[str]) -> None:
    """Also one that gives the daemon's flags at once, as other exporters are started."""
    assert_helpful(refused(argv))


def test_what_to_do_with_nothing_at_all_is_the_demo() -> None:
    """It needs no account, no file and no network."""
    assert refused([]).hint.endswith(f"try: {PROGRAM} demo")


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["chek-config", "config.yaml"], "check-config config.yaml"),
        (["demoo"], "demo"),
        (["run", "--lgo.level=warn"], "run --log.level=debug --config.file=config.yaml"),
        (["run", "--log.level=wran"], "run --log.level=warn --config.file=config.yaml"),
        (["run", "--config=my.yaml"], "run --config.file=config.yaml"),
        (["demo", "--scenario=viber-outrage"], "demo --scenario=viber-outage"),
        (["completion", "bsh"], "completion bash"),
        (["dashboards", "--outt=x"], "dashboards --out=grafana"),
    ],
)
def test_a_slip_of_the_fingers_is_understood(argv: list[str], line: str) -> None:
    """The hint says what was most likely meant, as a line to type."""
    hint = refused(argv).hint
    assert hint.startswith("did you mean ")
    assert hint.endswith(f"? try: {PROGRAM} {line}")


@pytest.mark.parametrize("flag", ["--speed", "--requests-per-second", "--seed"])
@pytest.mark.parametrize("sign", ["", "-"])
def test_a_number_out_of_range_is_called_so(flag: str, sign: str) -> None:
    """However many digits it has: it is a number."""
    error = refused(["simulator", f"{flag}={sign}{'9' * 400}"])
    assert error.message.endswith("is out of range")
    assert_helpful(error)


FLAGS = [
    pytest.param(command, flag, id=f"{command.name} {flag.name}")
    for command in COMMANDS
    for flag in command.flags()
]


@pytest.mark.parametrize(("command", "flag"), FLAGS)
def test_every_flag_can_be_given_in_the_environment(command: Command, flag: Flag) -> None:
    """With the same effect as on the command line, which wins over it."""
    argv = [command.name, *shlex.split(command.usual)]
    without = [word for word in argv if not word.startswith(flag.name)]
    example = flag.example or "true"
    by_flag = vars(parse([*without, flag.written()], {}))[flag.attribute]
    by_variable = vars(parse(without, {flag.env_name: example}))[flag.attribute]
    assert by_flag == by_variable
    both = vars(parse([*without, flag.written()], {flag.env_name: flag.default or "false"}))
    assert both[flag.attribute] == by_flag


@pytest.mark.parametrize(("command", "flag"), FLAGS)
def test_a_wrong_variable_is_named_with_what_to_set_instead(command: Command, flag: Flag) -> None:
    """A value that no flag may have is no default that nobody sees."""
    argv = [command.name, *shlex.split(command.usual)]
    without = [word for word in argv if not word.startswith(flag.name)]
    for value in filter(None, _wrong_values(flag) if flag.metavar else ("maybe", PHONE)):
        error = refused(without, {flag.env_name: value})
        assert error.message.startswith(f"${flag.env_name}: ")
        assert_helpful(error)


def test_several_addresses_stand_in_one_variable() -> None:
    """With commas in between."""
    both = parse(["run"], {"SMSBAT_WEB_LISTEN_ADDRESS": "127.0.0.1:1, :2"})
    assert both.web_listen_address == ["127.0.0.1:1", ":2"]


def test_a_limit_of_zero_is_not_taken_for_no_value() -> None:
    """0 switches the simulator's limit off, whatever the environment says."""
    assert (
        parse(
            ["simulator", "--requests-per-second=0"], {"SMSBAT_REQUESTS_PER_SECOND": "5"}
        ).requests_per_second
        == 0
    )


@pytest.mark.parametrize(
    "argv", [["--help"], ["-h"], *([command.name, "--help"] for command in COMMANDS)], ids=" ".join
)
def test_every_help_names_the_variables_and_ends_with_lines_to_paste(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each flag with its variable, in groups that say what they are about; each example is understood."""
    with pytest.raises(SystemExit) as ended:
        parse(argv, {})
    assert ended.value.code == 0
    text = capsys.readouterr().out
    command = next((one for one in COMMANDS if one.name == argv[0]), None)
    examples = command.examples if command else EXAMPLES
    shown = text.partition("\nexamples:\n")[2]
    assert re.findall(rf"^  ({PROGRAM} .*)$", shown, re.MULTILINE) == [
        f"{PROGRAM} {line}" for line, _ in examples
    ]
    for line, _ in examples:
        typed(f"{PROGRAM} {line}")
    if command:
        flat = re.sub(r"\s+", " ", text)
        assert [flag.name for flag in command.flags() if f"(${flag.env_name})" not in flat] == []
        assert [title for title in command.groups if f"\n{title}:\n" not in text] == []


def test_what_the_log_takes_can_be_chosen() -> None:
    """All of it, and no more."""
    assert (tuple(LEVELS), tuple(FORMATS)) == (LOG_LEVELS, LOG_FORMATS)


def test_no_two_flags_share_a_variable_unless_they_are_one() -> None:
    """The same name means the same thing in every command."""
    meanings: dict[str, Flag] = {}
    for command in COMMANDS:
        for flag in command.flags():
            assert meanings.setdefault(flag.env_name, flag) is flag
