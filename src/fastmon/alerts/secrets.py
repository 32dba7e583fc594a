"""Secrets of actions: from the environment, from a file that only its owner can read, or as written.

What it does not do: keep, log or show one. Its errors name where a secret is to come from, never a secret.
"""

from __future__ import annotations

import os
import re
import stat

from fastmon.errors import ConfigError

__all__ = ["read_secret"]

MAX_BYTES = 1 << 16

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_secret(text: str) -> str:
    """Return what "env:NAME" or "file:PATH" stands for; any other text stands for itself.

    A file must be a regular one that nobody but its owner can read or write (mode 600), and the owner is this user or root.
    Space around the secret is removed. Raises ConfigError.
    """
    source, separator, name = text.partition(":")
    if separator and source == "env":
        if _VARIABLE.fullmatch(name) is None:
            raise ConfigError("env: must be followed by the name of an environment variable, like env:PHONE_URL")
        secret = os.environ.get(name, "").strip()
        if not secret:
            raise ConfigError(f"the environment variable {name} is not set")
        return secret
    if separator and source == "file":
        return _read_file(name)
    return text


def _read_file(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the secret in {path}: {getattr(error, 'strerror', None) or error}") from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"cannot read the secret in {path}: it is no regular file")
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o177:
            raise ConfigError(f"the secret in {path} can be read by others: its mode is {mode:03o}, use 600")
        if status.st_uid not in (os.geteuid(), 0):
            raise ConfigError(f"the secret in {path} belongs to another user")
        data = os.read(fd, MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read the secret in {path}: {error.strerror}") from None
    finally:
        os.close(fd)
    if len(data) > MAX_BYTES:
        raise ConfigError(f"the secret in {path} has more than {MAX_BYTES} bytes")
    try:
        secret = data.decode().strip()
    except UnicodeDecodeError:
        raise ConfigError(f"the secret in {path} is not text in UTF-8") from None
    if not secret:
        raise ConfigError(f"the secret in {path} is empty")
    return secret
