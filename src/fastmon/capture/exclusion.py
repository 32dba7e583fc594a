"""Leaves interfaces out of a capture of all of them, in the kernel.

Instructions of classic BPF stand before those that the socket has: they drop a frame by the index of its interface. libpcap's
own language knows that index for another link type only, whose frames have another length.

What it does not do: know names of interfaces that are not there; `Exclusion.update` looks for them again.
"""

from __future__ import annotations

import ctypes
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from fastmon.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Exclusion"]

_SO_ATTACH_FILTER = _SO_GET_FILTER = 26  # <asm-generic/socket.h>
_LOAD_WORD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # <linux/filter.h>
_INTERFACE_INDEX = 0xFFFFF000 + 8  # SKF_AD_OFF + SKF_AD_IFINDEX
_MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS
_WHOLE_FRAME = 0xFFFFFFFF


class _Instruction(ctypes.Structure):  # sock_filter
    _fields_ = (("code", ctypes.c_uint16), ("if_true", ctypes.c_uint8), ("if_false", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):  # sock_fprog
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


_libc = ctypes.CDLL(None, use_errno=True)


class Exclusion:
    """Interfaces, by name, whose frames a packet socket does not get.

    fd: the socket, which has its filter already.  interface: what it captures from, for messages.
    """

    def __init__(self, fd: int, interface: str, names: Sequence[str]) -> None:
        self._fd = fd
        self._interface = interface
        self._names = tuple(names)
        self._filter = self._get_filter() or [_Instruction(_RETURN, 0, 0, _WHOLE_FRAME)]
        self._indexes: list[int] = []
        self.update()

    def update(self) -> None:
        """Find the indexes of the interfaces again: one that was made anew has another."""
        indexes = []
        for name in self._names:
            with suppress(OSError):  # it is not there
                indexes.append(socket.if_nametoindex(name))
        if indexes != self._indexes:
            self._attach(indexes)
            self._indexes = indexes

    def _get_filter(self) -> list[_Instruction]:
        instructions = (_Instruction * _MAX_INSTRUCTIONS)()
        length = ctypes.c_uint32(_MAX_INSTRUCTIONS)  # in instructions, both ways
        arguments = (ctypes.byref(instructions), ctypes.byref(length))
        self._check(_libc.getsockopt(self._fd, socket.SOL_SOCKET, _SO_GET_FILTER, *arguments))
        return list(instructions[: length.value])

    def _attach(self, indexes: Sequence[int]) -> None:
        instructions = [_Instruction(_LOAD_WORD, 0, 0, _INTERFACE_INDEX)]
        for index in indexes:
            instructions += [_Instruction(_JUMP_IF_EQUAL, 0, 1, index), _Instruction(_RETURN, 0, 0, 0)]
        instructions += self._filter
        array = (_Instruction * len(instructions))(*instructions)
        program = _Program(len(instructions), array)
        size = ctypes.sizeof(program)
        self._check(_libc.setsockopt(self._fd, socket.SOL_SOCKET, _SO_ATTACH_FILTER, ctypes.byref(program), size))

    def _check(self, result: int) -> None:
        if result:
            reason = os.strerror(ctypes.get_errno())
            raise CaptureError(f"{self._interface}: {', '.join(self._names)} cannot be left out: {reason}")
