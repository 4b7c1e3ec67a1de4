"""Keys, tokens and passwords: values that are never printed, the files and headers they come from.

A `Secret` prints as `<secret>` wherever it ends up by accident (a log line, a
traceback, a dump of the settings) and can't be pickled. Messages of this
module never contain the path of a secret's file either: a key pasted where its
path belongs would be printed with it.
"""

from __future__ import annotations

import hmac
import os
import stat
from base64 import b64decode
from pathlib import Path
from typing import Any, NoReturn, Protocol

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from exporter.runtime.errors import Code, ConfigError

MAX_SECRET_BYTES = 64 * 1024
HIDDEN = "<secret>"


class Secret:
    """A text that only `reveal` returns; never empty, without control characters."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Hide `text`; raises ValueError for what `find_secret_fault` rejects."""
        reason = find_secret_fault(text)
        if reason:
            raise ValueError(reason)
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that sends or compares it."""
        return self._text

    def read(self) -> Secret:
        """Itself, so that a key in the configuration can be used like one in a file."""
        return self

    def __repr__(self) -> str:
        """Nothing about the text, not even its length."""
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        """Whether both hide the same text, compared in constant time."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        """Refuse pickling and deep copies: both would store the text elsewhere."""
        raise TypeError("a secret can't be pickled")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401 - pydantic's signature
        """As a field of a model: read from text, always written as `<secret>`."""
        return core_schema.no_info_plain_validator_function(
            _validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda _: HIDDEN, return_schema=core_schema.str_schema()
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """In a JSON schema: text that is never read back."""
        return {"type": "string", "writeOnly": True}


class SecretSource(Protocol):
    """What provides the current secret: a file, or the secret itself."""

    def read(self) -> Secret:
        """The current secret; raises ConfigError when there has never been a usable one."""
        ...


class SecretFile:
    """A secret in a file, read again when the file changes; symbolic links are followed.

    Orchestrators rotate a secret by switching a symbolic link, editors by
    renaming: both show as another inode. A file that is being rewritten in
    place is empty for a moment, so a read that fails after a good one keeps
    the good one, and `trouble` says why until a read succeeds.
    """

    def __init__(self, path: str | os.PathLike[str], name: str) -> None:
        """Read from `path`; errors call the file `name`, such as `api_key_file of account main`."""
        self._path = Path(path)
        self._name = name
        self._seen: tuple[int, int, int] | None = None
        self._secret: Secret | None = None
        self.trouble = ""
        """Why the latest read failed, for the log; empty while all is well."""

    def read(self) -> Secret:
        """The current secret of the file; costs one `stat` while the file is unchanged.

        Raises ConfigError when the file can't be used and never could.
        """
        try:
            if self._secret is None or self.trouble or _stat_identity(self._path.stat()) != self._seen:
                return self._load()
        except (OSError, ValueError) as error:
            reason = (error.strerror or "").lower() if isinstance(error, OSError) else str(error)
            self.trouble = reason or "is unreadable"
            if self._secret is None:
                raise ConfigError(f"{self._name}: {self.trouble}", code=Code.CONFIG_KEY_FILE) from None
        return self._secret

    def _load(self) -> Secret:
        """Read and check the file; the identity is that of the file that was read."""
        # Opening a named pipe would wait for a writer.
        descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - the descriptor is what is opened
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("is not a regular file")
            data = file.read(MAX_SECRET_BYTES + 1)
        if len(data) > MAX_SECRET_BYTES:
            raise ValueError(f"is larger than {MAX_SECRET_BYTES // 1024} KiB")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            # Without the cause: its text would quote the file.
            raise ValueError("is not UTF-8 text") from None
        self._secret = Secret(text.removesuffix("\n").removesuffix("\r"))
        self._seen = _stat_identity(status)
        self.trouble = ""
        return self._secret

    def __repr__(self) -> str:
        """What the file is for, without its path."""
        return f"SecretFile({self._name})"


def find_secret_fault(text: str) -> str:
    """Why `text` can't be a secret, without quoting it; or ""."""
    if not text:
        return "is empty"
    # A line break in a header would end it; other control characters are copying accidents.
    if any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in text):  # noqa: PLR2004 - the two ranges of control characters
        return "holds a control character or a second line"
    if any(0xD800 <= ord(character) < 0xE000 for character in text):  # noqa: PLR2004 - surrogates can't be encoded
        return "is not UTF-8 text"
    return ""


def parse_basic_credentials(authorization: str) -> tuple[bytes, bytes] | None:
    """User and password of an `Authorization: Basic` header; None for any other header."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = b64decode(encoded.strip(), validate=True).partition(b":")
    except ValueError:
        return None
    return (name, password) if colon else None


def _stat_identity(status: os.stat_result) -> tuple[int, int, int]:
    """What changes when a file is rewritten or replaced."""
    return status.st_mtime_ns, status.st_ino, status.st_size


def _validate(value: object) -> Secret:
    """A secret for pydantic, with an error that doesn't quote it."""
    if isinstance(value, Secret):
        return value
    reason = find_secret_fault(value) if isinstance(value, str) else "must be text"
    if reason or not isinstance(value, str):
        raise PydanticCustomError("refused", "{message}", {"message": reason, "hint": ""})
    return Secret(value)
