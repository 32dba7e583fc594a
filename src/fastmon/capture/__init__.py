"""Sources of frames: live interfaces (`live`) through libpcap (`handles`), capture files through the native reader (`files`).

What it does not do: decode, account, keep intervals.
"""

from __future__ import annotations

from fastmon.capture.base import Capture
from fastmon.capture.files import FileCapture, open_offline
from fastmon.capture.handles import InterfaceInfo, interfaces
from fastmon.capture.live import LiveCapture, open_live

__all__ = ["Capture", "FileCapture", "InterfaceInfo", "LiveCapture", "interfaces", "open_live", "open_offline"]
