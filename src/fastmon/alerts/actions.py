"""Makes an action of what the configuration says of it.

What it does not do: deliver; each kind of action does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmon.errors import ConfigError

if TYPE_CHECKING:
    from fastmon.alerts.action import Action
    from fastmon.policy.specs import ActionSpec

__all__ = ["check_action", "make_action"]


def make_action(spec: ActionSpec) -> Action:
    """Return an action; each kind imports what only it needs. Raises ConfigError."""
    try:
        if spec.exec is not None:
            from fastmon.alerts.exec import ExecAction

            return ExecAction(spec.name, spec.exec, spec.environment)
        if spec.apprise is not None:
            from fastmon.alerts.notify import AppriseAction

            return AppriseAction(spec.apprise)
        if spec.syslog is not None:
            from fastmon.alerts.syslog import SyslogAction

            return SyslogAction(spec.syslog)
        if spec.file is not None:
            from fastmon.alerts.files import FileAction

            return FileAction(spec.file)
    except ConfigError as error:
        raise _wrong(spec, str(error)) from None
    raise ConfigError(f"action {spec.name!r} does nothing: it needs one of exec, apprise, syslog and file")


def check_action(spec: ActionSpec) -> str:
    """Check an action as thoroughly as can be without delivering anything; return what could not be checked, "" if all was.

    A run looks at a URL of Apprise's only when the first alert is delivered: that takes a second. Raises ConfigError.
    """
    if spec.apprise is not None:
        from fastmon.alerts.notify import INSTALL, has_apprise
        from fastmon.alerts.notify_helper import is_understood
        from fastmon.alerts.secrets import read_secret

        if not has_apprise():
            return f"action {spec.name!r}: apprise: it cannot be checked, nor used, without the package apprise: {INSTALL}"
        make_action(spec)
        if not is_understood(read_secret(spec.apprise)):
            raise _wrong(spec, "it is not understood by Apprise: use one URL of a service that it knows, complete")
    else:
        make_action(spec)
    return ""


def _wrong(spec: ActionSpec, why: str) -> ConfigError:
    return ConfigError(f"action {spec.name!r}: {spec.way}: {why}")
