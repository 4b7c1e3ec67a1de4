"""The scripts with which shells complete commands, flags, values and file names.

Made when they are asked for, so that they always match what is installed. The
shell reads the script once: pressing Tab starts no Python.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import shtab

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


def completion(arguments: argparse.Namespace, _environ: Mapping[str, str]) -> int:
    """The script that a shell completes with."""
    script = shtab.complete(arguments.parser, arguments.shell)
    print(script + _BASH_EQUALS if arguments.shell == "bash" else f"{script}\n", end="")
    return 0
