"""Secrets, which a configuration names and does not hold: in the environment, or in a file that only its owner may read.

What it does not do: show one, in an error or anywhere else.
"""

from __future__ import annotations

import io
import os
import re
import stat

from fastmon.errors import ConfigError

__all__ = ["read_secret"]

MAX_SECRET_BYTES = 1 << 16
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_secret(text: str) -> str:
    """Return the secret that "env:NAME" or "file:PATH" names; any other text is the secret itself.

    Raises ConfigError, without the secret, if there is none, or if others than its owner may read the file.
    """
    source, _, name = text.partition(":")
    if source == "env":
        return _from_environment(name)
    return _from_file(name) if source == "file" else text


def _from_environment(name: str) -> str:
    if _VARIABLE.fullmatch(name) is None:
        raise ConfigError("env: must be followed by the name of an environment variable, like env:PHONE_URL")
    secret = os.environ.get(name, "").strip()
    if not secret:
        raise ConfigError(f"the environment variable {name} is not set")
    return secret


def _from_file(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with io.FileIO(fd) as file:
            _check_mode(path, os.fstat(fd))
            content = file.read(MAX_SECRET_BYTES + 1) or b""
    except (OSError, ValueError) as error:  # a path with a NUL
        raise ConfigError(f"cannot read the secret in {path!r}: {getattr(error, 'strerror', error)}") from None
    try:
        secret = content.decode().strip()
    except UnicodeDecodeError:
        secret = ""
    if not secret or len(content) > MAX_SECRET_BYTES:
        raise ConfigError(f"the secret in {path!r} must be a text of at most {MAX_SECRET_BYTES:,} bytes")
    return secret


def _check_mode(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"the secret in {path!r} must be in a regular file")
    if status.st_mode & 0o177:
        mode = stat.S_IMODE(status.st_mode)
        raise ConfigError(f"the secret in {path!r} must be readable only by its owner: the file's mode is {mode:o}, use 600")
