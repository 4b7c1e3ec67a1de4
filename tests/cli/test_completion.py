"""The completion scripts, read by real shells."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from exporter.cli.options import SHELLS
from exporter.simulator.scenarios import SCENARIOS
from tests.kit.processes import environment, once
from tests.kit.waiting import HANG_SECONDS

_COMPLETE = r"""
source "$1"
COMP_WORDS=("${@:2}")
COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
COMP_LINE="${COMP_WORDS[*]}"
COMP_POINT=${#COMP_LINE}
# The function that the script itself registered last.
registered=$(complete -p smsbat-exporter)
[[ $registered =~ -F\ ([^ ]+) ]] && "${BASH_REMATCH[1]}" 2>/dev/null
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the script of each shell, as users make them."""
    folder = tmp_path_factory.mktemp("scripts")
    for shell in SHELLS:
        made = once("completion", shell, cwd=folder)
        assert (made.returncode, made.stderr) == (0, "")
        (folder / f"script.{shell}").write_text(made.stdout, "utf-8")
    return folder


def completed(scripts: Path, cwd: Path, *words: str) -> set[str]:
    """What bash offers for the last word, when the words are split as bash does."""
    argv = [
        "bash",
        "--norc",
        "-c",
        _COMPLETE,
        "bash",
        str(scripts / "script.bash"),
        "smsbat-exporter",
        *words,
    ]
    done = subprocess.run(
        argv, cwd=cwd, env=environment(), capture_output=True, text=True, check=True, timeout=HANG_SECONDS
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def test_bash_completes_commands_and_flags(scripts: Path, tmp_path: Path) -> None:
    """A command from its beginning, then only the flags of that command."""
    assert completed(scripts, tmp_path, "check-") == {"check-config", "check-message"}
    assert completed(scripts, tmp_path, "run", "--log") == {"--log.level", "--log.format"}
    assert completed(scripts, tmp_path, "demo", "--config") == set()


@pytest.mark.parametrize("sign", [(), ("=",)], ids=["space", "equals"])
def test_bash_completes_the_values_of_flags(scripts: Path, tmp_path: Path, sign: tuple[str, ...]) -> None:
    """After a space or an equals sign: all scenarios, or those that begin like what is there."""
    assert completed(scripts, tmp_path, "demo", "--scenario", *sign, "vi") == {"viber-outage"}
    assert completed(scripts, tmp_path, "demo", "--scenario", *(sign or ("",))) == set(SCENARIOS)
    assert completed(scripts, tmp_path, "demo", "--scenario", *sign, "calm", "--se") == {"--seed"}


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--config.file", "my-"),
        ("run", "--config.file", "=", "my-"),
        ("check-config", "my-"),
        ("check-config", "--online", "my-"),
        ("run", "--storage.path", "=", "state", "--config.file", "=", "my-"),
    ],
    ids=" ".join,
)
def test_bash_completes_file_names(scripts: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Where a file is wanted."""
    (tmp_path / "my-config.yaml").touch()
    assert completed(scripts, tmp_path, *words) == {"my-config.yaml"}


@pytest.mark.parametrize(
    "shell", [pytest.param(shell, marks=pytest.mark.needs(shell)) for shell in ("zsh", "fish")]
)
def test_the_other_shells_understand_their_scripts(scripts: Path, shell: str) -> None:
    """Not a word of it is wrong to them."""
    script = str(scripts / f"script.{shell}")
    subprocess.run(
        [shell, "--no-execute" if shell == "fish" else "-n", script], check=True, timeout=HANG_SECONDS
    )


@pytest.mark.needs("fish")
def test_fish_completes_a_flag_a_scenario_and_a_file(scripts: Path, tmp_path: Path) -> None:
    """As bash does, with what each is for."""
    (tmp_path / "my-config.yaml").touch()

    def offered(line: str) -> set[str]:
        ask = f"source {scripts / 'script.fish'}; complete --do-complete 'smsbat-exporter {line}'"
        done = subprocess.run(
            ["fish", "--no-config", "-c", ask],
            cwd=tmp_path,
            env=environment(HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path)),
            capture_output=True,
            text=True,
            check=True,
            timeout=HANG_SECONDS,
        )
        return {offer.partition("\t")[0] for offer in done.stdout.splitlines()}

    assert offered("run --log.l") == {"--log.level"}
    assert offered("demo --scenario=vi") == {"--scenario=viber-outage"}
    assert offered("check-config my-") == {"my-config.yaml"}
