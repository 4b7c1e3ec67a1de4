"""Checks from outside whether an exporter is healthy: `python -m exporter.healthcheck [URL]`.

For containers, which have no curl. It imports only the standard library, since
it runs every few seconds. Exit code 0 when `/-/healthy` answers 200, else 1 and
a sentence. A password is read from a file, and never printed.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import signal
import ssl
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

URL = "http://127.0.0.1:10978/-/healthy"
TIMEOUT_SECONDS = 4.0


def main(argv: Sequence[str]) -> int:
    """Send one request; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m exporter.healthcheck", description="Check whether an exporter is healthy."
    )
    parser.add_argument("url", nargs="?", default=URL, help="default: %(default)s")
    parser.add_argument(
        "--ca-file", metavar="FILE", help="PEM file of the authority of the server's certificate"
    )
    parser.add_argument("--cert-file", metavar="FILE", help="PEM file of a client certificate and its key")
    parser.add_argument("--user", default="", metavar="NAME", help="user name in basic_auth_users")
    parser.add_argument("--password-file", metavar="FILE", help="file that contains the user's password")
    arguments = parser.parse_args(argv)
    try:
        status, text = _request_health(arguments)
    except (OSError, ValueError, http.client.HTTPException) as error:
        status, text = 0, str(error)
    if status == http.client.OK:
        return 0
    sys.stderr.write(f"not healthy: {status or 'no answer'}: {text.strip()}\n")
    return 1


def _request_health(arguments: argparse.Namespace) -> tuple[int, str]:
    """Status and text of the answer; raises OSError, ValueError or HTTPException."""
    url = urlsplit(arguments.url)
    host = url.hostname or ""
    connection = http.client.HTTPConnection(host, url.port, timeout=TIMEOUT_SECONDS)
    if url.scheme == "https":
        context = ssl.create_default_context(cafile=arguments.ca_file)
        if arguments.cert_file:
            context.load_cert_chain(arguments.cert_file)
        connection = http.client.HTTPSConnection(host, url.port, timeout=TIMEOUT_SECONDS, context=context)
    headers = {}
    if arguments.password_file:
        with open(arguments.password_file, encoding="utf-8") as file:  # noqa: PTH123 - pathlib makes the start slower
            password = file.read().removesuffix("\n")
        credentials = base64.b64encode(f"{arguments.user}:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {credentials}"
    connection.request("GET", url.path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read(1024).decode("utf-8", "replace")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # there is nothing to tidy up
    sys.exit(main(sys.argv[1:]))
