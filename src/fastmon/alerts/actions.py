"""Makes an action of what the configuration says of it.

What it does not do: deliver; each kind of action does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmon.errors import ConfigError

if TYPE_CHECKING:
    from fastmon.alerts.action import Action
    from fastmon.policy.specs import ActionSpec

__all__ = ["make_action"]


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
        raise ConfigError(f"action {spec.name}: {error}") from None
    raise ConfigError(f"action {spec.name} does nothing: it needs one of exec, apprise, syslog and file")
