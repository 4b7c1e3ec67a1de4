"""The scripts with which shells complete commands, flags, values and file names.

Made when they are asked for, so that they always match what is installed. The
shell reads the script once: pressing Tab starts no Python.
"""

from __future__ import annotations

import argparse

import shtab

from exporter.cli.flags import Completes

SHELLS = ("bash", "zsh", "fish")
_PATHS = {"file": shtab.FILE, "directory": shtab.DIRECTORY}
_BASH_EQUALS = """

# bash takes --flag=value for three words: leave out the one between.
_smsbat_exporter() {
  local word index=0 current=0
  local -a words=()
  for word in "${COMP_WORDS[@]}"; do
    if [[ $word == = ]]; then
      # With nothing after it yet, an empty word is what is completed.
      (( index == COMP_CWORD )) && words+=("") && current=$(( ${#words[@]} - 1 ))
    else
      words+=("$word")
      (( index == COMP_CWORD )) && current=$(( ${#words[@]} - 1 ))
    fi
    (( index += 1 ))
  done
  local -a COMP_WORDS=("${words[@]}")
  local COMP_CWORD=$current
  _shtab_smsbat_exporter "$@"
}
complete -o bashdefault -F _smsbat_exporter smsbat-exporter
"""


def complete_with(action: argparse.Action, completes: Completes) -> None:
    """Let paths be offered for what the action takes, if it is one."""
    if completes:
        action.complete = _PATHS[completes]  # type: ignore[attr-defined]  # where shtab looks for it


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script of one of `SHELLS` for the program that `parser` is of."""
    made = shtab.complete(parser, shell)
    return made + _BASH_EQUALS if shell == "bash" else f"{made}\n"
