"""The command line as users see it: each error is a sentence with a hint and a code."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from exporter.simulator.identifiers import IdCodec
from tests.kit.daemon import KEY, Home, address_of
from tests.kit.processes import EXPORTER, Running, environment, once
from tests.kit.provider import Provider
from tests.kit.waiting import HANG_SECONDS, until
from tests.kit.web import ask, free_port

_BAD = """\
accounts:
  - name: main
    base_url: http://restapi.smsbat.com
    auth: {method: heade, api_key_file: key}
    requests_per_second: fast
storag: {path: state}
limits: {max_tracked: -4}
campaigns:
  - {name: otp, profile: opt}
"""
_BAD_PLACES = ["3:5", "4:12", "5:5", "6:1", "7:10", "9:17"]


def test_a_missing_configuration_is_named_with_a_hint(tmp_path: Path) -> None:
    """78, the path, and what to do."""
    ended = once("run", "--config.file=missing.yaml", cwd=tmp_path)
    assert ended.returncode == 78
    assert ended.stderr.startswith(
        "smsbat-exporter: missing.yaml: no such file or directory [SMSBAT-C001]\n  hint: "
    )
    assert ended.stdout == ""


@pytest.mark.parametrize("arguments", [("run", "--config.file=bad.yaml"), ("check-config", "bad.yaml")])
def test_every_problem_of_a_configuration_is_reported_with_its_place(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """File, line and column of each, all at once, in the order of the file; 78."""
    (tmp_path / "bad.yaml").write_text(_BAD, "utf-8")
    ended = once(*arguments, cwd=tmp_path)
    assert ended.returncode == 78
    said = ended.stdout + ended.stderr
    assert re.findall(r"bad\.yaml:(\d+:\d+): [a-z]", said) == _BAD_PLACES
    assert "did you mean storage?" in said
    assert "Traceback" not in said


def test_a_second_daemon_on_the_same_state_is_refused_at_once(home: Home) -> None:
    """75, naming the file; the first one continues undisturbed."""
    with home.start() as first:
        address = address_of(first)
        listen = "--web.listen-address=127.0.0.1:0"
        second = once("run", f"--config.file={home.config}", listen, cwd=home.folder)
        assert second.returncode == 75
        assert f"{home.folder}/state/state.sqlite3 is in use by another process" in second.stderr
        assert "hint: " in second.stderr
        assert "Traceback" not in second.stderr
        assert first.runs
        assert ask(address, "/-/ready").status == 200
        assert ask(address, "/metrics").status == 200


def test_a_port_in_use_is_named_and_the_state_released(home: Home, provider: Provider) -> None:
    """1 with a hint; the failed start does not prevent the next."""
    taken = provider.address
    ended = once("run", f"--config.file={home.config}", f"--web.listen-address={taken}", cwd=home.folder)
    assert ended.returncode == 1
    assert f"can't listen on {taken}: Address already in use [SMSBAT-L001]\n  hint: " in ended.stderr
    assert "Traceback" not in ended.stderr
    with home.start() as daemon:
        assert address_of(daemon)


def test_a_state_that_can_not_be_written_is_named(home: Home) -> None:
    """74 with the path and a hint."""
    (home.folder / "file").write_text("", "ascii")
    ended = once("run", f"--config.file={home.config}", "--storage.path=file/state", cwd=home.folder)
    assert ended.returncode == 74
    assert "file/state/state.sqlite3 can't be opened: Not a directory [SMSBAT-S007]\n  hint: " in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_good_configuration_is_fine_and_its_key_can_be_checked(home: Home) -> None:
    """0, with and without a check of the key at the provider."""
    alone = once("check-config", str(home.config), cwd=home.folder)
    assert (alone.returncode, alone.stdout) == (0, f"{home.config}: fine\n")
    online = once("check-config", str(home.config), "--online", cwd=home.folder)
    assert (online.returncode, online.stderr) == (0, "")
    assert "account main: the provider accepts the key\n" in online.stdout


def test_a_key_that_the_provider_refuses_is_reported_without_showing_it(home: Home) -> None:
    """1, and the key is not in the output."""
    home.key.write_text("no-such-key\n", "ascii")
    online = once("check-config", str(home.config), "--online", cwd=home.folder)
    assert online.returncode == 1
    assert re.match(
        r"account main: the provider refuses the key .*HTTP 401\) \[SMSBAT-P001\]\n  hint: ", online.stdout
    )
    assert "no-such-key" not in online.stdout + online.stderr


def _delivered(provider: Provider, ids: Sequence[str]) -> bool:
    headers = {"X-Authorization-Key": KEY}
    answers = [ask(provider.address, f"/bat/message/{one}", headers=headers) for one in ids]
    return all(answer.json()["deliverystatus"] == "delivered" for answer in answers)


def test_the_simulator_does_as_its_flags_say(tmp_path: Path) -> None:
    """It listens, sends what its seed gives and lets it end soon; 0 when it is asked to end."""
    provider = Provider(f"127.0.0.1:{free_port()}", seed=7)
    flags = [f"--listen={provider.address}", "--seed=7", "--speed=1200", "--requests-per-second=0"]
    with Running([*EXPORTER, "simulator", *flags], tmp_path / "log") as simulator:
        until(lambda: "event=simulator_ready" in simulator.said(), "it listens")
        sent = provider.deliver("otp", 12)
        assert set(sent) <= {IdCodec(7).write(index) for index in range(provider.sent)}
        until(lambda: _delivered(provider, sent), "all are delivered")
        simulator.signal(signal.SIGTERM)
        assert simulator.ends() == 0


def test_check_message_prints_the_status_of_messages(home: Home, provider: Provider) -> None:
    """The provider's answer for each, in words; 1 when one of them has no answer."""
    sent = provider.deliver("otp", 2)
    config = f"--config.file={home.config}"

    until(lambda: _delivered(provider, sent), "both are delivered")
    good = once("check-message", config, *sent, cwd=home.folder)
    assert good.returncode == 0
    assert [line.split(",")[0] for line in good.stdout.splitlines()] == [f"{one}: delivered" for one in sent]
    assert "UAH" in good.stdout
    unknown = once("check-message", config, sent[0], "never-sent", cwd=home.folder)
    assert unknown.returncode == 1
    assert re.search(r"^never-sent: no answer: .* \[SMSBAT-P002\]\n  hint: ", unknown.stdout, re.MULTILINE)


def test_a_phone_number_in_place_of_an_id_is_refused_without_repeating_it(home: Home) -> None:
    """2, and the number is not in the output."""
    ended = once("check-message", f"--config.file={home.config}", "+380501234567", cwd=home.folder)
    assert ended.returncode == 2
    assert "hint: " in ended.stderr
    assert "380501234567" not in ended.stdout + ended.stderr


def test_output_that_can_not_be_written_is_reported_in_a_sentence(home: Home) -> None:
    """1 when the disk is full or the reader of a pipe is gone, and no stack trace."""
    reader, writer = os.pipe()
    os.close(reader)
    for target in (os.open("/dev/full", os.O_WRONLY), writer):
        ended = subprocess.run(
            [*EXPORTER, "check-config", home.config],
            stdout=target,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            cwd=home.folder,
            check=False,
            timeout=HANG_SECONDS,
        )
        os.close(target)
        assert ended.returncode == 1
        assert re.fullmatch(r"smsbat-exporter: can't write: [^\n]+\n", ended.stderr)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("run", "--log.level=loud"),
        ("check-message", "--account=other", "some-id"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_reported_with_a_hint(home: Home, arguments: tuple[str, ...]) -> None:
    """2, one sentence and a hint, and nothing is started."""
    ended = once(*arguments, cwd=home.folder)
    assert ended.returncode == 2
    assert re.fullmatch(r"smsbat-exporter: [^\n]+\n  hint: [^\n]+\n", ended.stderr)
    assert not (home.folder / "state").exists()
