"""Web configurations, good and bad: files of the shared format, and the messages about each."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from exporter.http import WebAuth
from exporter.http.webconfig import WebConfig, check_web_config
from exporter.runtime.errors import ConfigError
from tests.http.authority import hash_password, write_certificates, write_odd_keys

HERE = Path(__file__).parent
GOOD = sorted((HERE / "web_good").glob("*.yml"))
BAD = sorted((HERE / "web_bad").glob("*.yml"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the files that the configurations name."""
    return write_odd_keys(write_certificates(tmp_path_factory.mktemp("web")))


def write_config(folder: Path, text: str, mode: int = 0o640) -> Path:
    """Write a web configuration with this text."""
    path = folder / "web.yml"
    path.write_text(text)
    path.chmod(mode)
    return path


def read_good_config(path: Path) -> WebConfig:
    """Read a file that must have no problems."""
    report = check_web_config(path)
    assert report.problems == ()
    assert report.config is not None
    return report.config


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.stem)
def test_a_good_file_has_no_problems(case: Path, folder: Path) -> None:
    """Optional keys may be present or missing."""
    config = read_good_config(write_config(folder, case.read_text()))
    assert (config.tls is not None) == case.stem.startswith("tls")


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("case", BAD, ids=lambda case: case.stem)
def test_every_problem_of_a_bad_file_has_the_pinned_message(case: Path, folder: Path) -> None:
    """Place, key, message and hint of each; no password, key or hash is repeated."""
    path = write_config(folder, case.read_text())
    report = check_web_config(path)
    assert report.config is None
    said = "".join(f"{problem.render('web.yml')}\n" for problem in report.problems)
    assert said == case.with_suffix(".txt").read_text()
    assert "hunter2" not in said
    with pytest.raises(ConfigError) as refused:
        WebAuth(path)
    assert refused.value.exit_code == 78
    assert refused.value.message.replace(str(path), "web.yml") + "\n" == said


def test_no_pinned_message_is_without_its_file() -> None:
    """Each .txt belongs to a .yml."""
    assert {path.stem for path in (HERE / "web_bad").glob("*.txt")} == {path.stem for path in BAD}


def test_a_missing_file_is_reported_as_missing(tmp_path: Path) -> None:
    """The hint: write one, or leave the flag out."""
    (problem,) = check_web_config(tmp_path / "web.yml").problems
    assert problem.render("web.yml") == (
        "web.yml: no such file or directory [SMSBAT-W001]\n  hint: write one, or leave --web.config.file out"
    )
    (tmp_path / "web.yml").write_bytes(b"basic_auth_users: \xff\n")
    (problem,) = check_web_config(tmp_path / "web.yml").problems
    assert problem.message == "is not UTF-8 text (line 1); save it in UTF-8"


def test_a_dollar_sign_is_literal(folder: Path) -> None:
    """Environment variables are not substituted: the file means the same to every exporter."""
    text = 'http_server_config: {headers: {Content-Security-Policy: "a $$ ${HOME} $b"}}'
    assert read_good_config(write_config(folder, text)).headers == {
        "Content-Security-Policy": "a $$ ${HOME} $b"
    }


def test_certificate_and_key_can_be_written_in_the_file(folder: Path) -> None:
    """One of them or both; they are never written to a disk."""
    pem = {
        name: "".join(f"    {line}\n" for line in (folder / f"server.{end}").read_text().splitlines())
        for name, end in (("cert", "crt"), ("key", "key"))
    }
    inline = {name: f"  {name}: |\n{text}" for name, text in pem.items()}
    files = {"cert": "  cert_file: server.crt\n", "key": "  key_file: server.key\n"}
    for cert, key in ((inline, inline), (inline, files), (files, inline)):
        config = read_good_config(write_config(folder, f"tls_server_config:\n{cert['cert']}{key['key']}"))
        assert config.tls is not None
        assert "PRIVATE" not in repr(config)


def test_what_works_but_should_be_fixed_is_a_warning(folder: Path) -> None:
    """A key that others can read, default authorities, passwords in plain text, costs that differ."""
    key = "".join(f"    {line}\n" for line in (folder / "server.key").read_text().splitlines())
    text = (
        f"tls_server_config:\n  cert_file: server.crt\n  key: |\n{key}"
        "  client_auth_type: RequireAndVerifyClientCert\n"
    )
    warned = check_web_config(write_config(folder, text, 0o644)).warnings
    assert [warning.key for warning in warned] == [
        "tls_server_config.key",
        "tls_server_config.client_auth_type",
    ]
    text = f"basic_auth_users:\n  a: {hash_password()}\n  b: {hash_password(cost=5)}\n"
    keys = [warning.key for warning in check_web_config(write_config(folder, text)).warnings]
    assert keys == ["basic_auth_users", "basic_auth_users.a"]
    text += "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
    assert [warning.key for warning in check_web_config(write_config(folder, text)).warnings] == [
        "basic_auth_users.a"
    ]


def test_suites_of_tls_13_alone_disable_tls_12(folder: Path) -> None:
    """As in Go: a list without a suite of TLS 1.2 allows no TLS 1.2."""
    suites = "cipher_suites: [TLS_AES_128_GCM_SHA256]"
    text = f"tls_server_config: {{cert_file: server.crt, key_file: server.key, {suites}}}"
    tls = read_good_config(write_config(folder, text)).tls
    assert tls is not None
    assert tls.context.minimum_version is ssl.TLSVersion.TLSv1_3


def test_a_client_is_allowed_by_any_kind_of_name(folder: Path) -> None:
    """DNS names, mail addresses, URIs, and IP addresses in any notation."""
    tls = read_good_config(write_config(folder, (HERE / "web_good" / "tls_everything.yml").read_text())).tls
    assert tls is not None
    for kind, name in (
        ("DNS", "prometheus.test"),
        ("IP Address", "10.0.0.1"),
        ("IP Address", "2001:DB8:0:0:0:0:0:1"),
        ("email", "scraper@example.com"),
        ("URI", "spiffe://test/prometheus"),
    ):
        assert tls.allows({"subjectAltName": (("DNS", "else.test"), (kind, name))})
    assert not tls.allows({"subjectAltName": (("DNS", "else.test"), ("DNS", "x.prometheus.test"))})
    assert not tls.allows({"subject": ((("commonName", "prometheus.test"),),)})
    assert not tls.allows(None)
