"""The configuration: the options of a run and of its results, and the file that sets them, with groups, rules and actions.

What it does not do: read arguments, evaluate rules, or carry out actions.
"""

from __future__ import annotations

from fastmon.config.file import MAX_CONFIG_BYTES, MAX_KEY_PARTS, Configuration, load_config, make_options
from fastmon.config.options import FORMATS, Kind, OutputOptions, RunOptions, check_together, make_run_options

__all__ = [
    "FORMATS",
    "MAX_CONFIG_BYTES",
    "MAX_KEY_PARTS",
    "Configuration",
    "Kind",
    "OutputOptions",
    "RunOptions",
    "check_together",
    "load_config",
    "make_options",
    "make_run_options",
]
