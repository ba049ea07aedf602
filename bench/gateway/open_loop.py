"""Open loop: each request is due at a time fixed beforehand, and its latency counts from that time.

A reply that comes late thus delays nothing else, and a request that had to wait for its turn, here or there, shows the
wait. One thread over epoll and a timer file descriptor: the clock of an event loop counts in milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import time
from collections import deque

from commands import Open, OpenReply
from payloads import build_payload, find_length
from schedule import plan_times_ns

NUM_CONNECTIONS = 64
"""Open before the first request; more than are ever busy at half of a gateway's peak."""
_LEAD_NS = 20_000_000
_PATIENCE_S = 10.0
_TIMER_ABSTIME = 1


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


class _Timer:
    """A timer of the kernel on the monotonic clock, readable when it is due."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def set(self, at_ns: int) -> None:
        """Due at this time."""
        spec = _TimerSpec(_TimeSpec(0, 0), _TimeSpec(at_ns // 1_000_000_000, at_ns % 1_000_000_000))
        if self._libc.timerfd_settime(self.fd, _TIMER_ABSTIME, ctypes.byref(spec), None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def clear(self) -> None:
        """Not readable any more."""
        os.read(self.fd, 8)


class _OpenLoop:
    """One run. A request whose time has come takes an idle connection, or waits for one."""

    def __init__(self, command: Open) -> None:
        self._payload = build_payload(command.port, is_stream=False)
        self._timer = _Timer()
        self._epoll = select.epoll()
        self._epoll.register(self._timer.fd, select.EPOLLIN)
        self._sockets: dict[int, socket.socket] = {}
        self._idle: list[socket.socket] = []
        for _ in range(NUM_CONNECTIONS):
            one = socket.create_connection(("127.0.0.1", command.port))
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._epoll.register(one.fileno(), select.EPOLLIN)
            self._sockets[one.fileno()] = one
            self._idle.append(one)
        self._due: dict[int, int] = {}
        self._partial: dict[int, bytes] = {}
        self._num_whole_bytes = 0
        self._timed_from_ns = 0
        self.latencies_ns: list[int] = []
        self.late_ns: list[int] = []
        self.num_bad = 0

    def run(self, times_ns: list[int], num_warm: int) -> None:
        """Send at these times (monotonic), wait for the last reply; the first `num_warm` are not timed."""
        waiting = deque(times_ns)
        self._timed_from_ns = times_ns[num_warm]
        self._timer.set(waiting[0])
        gives_up_ns = times_ns[-1] + int(_PATIENCE_S * 1e9)
        while (waiting or self._due) and time.monotonic_ns() < gives_up_ns:
            for fd, _ in self._epoll.poll(0.5):
                if fd == self._timer.fd:
                    self._timer.clear()
                else:
                    self._receive(self._sockets[fd])
            self._send_due(waiting)
        self.num_bad += len(waiting) + len(self._due)

    def close(self) -> None:
        """Close every connection."""
        for one in self._sockets.values():
            one.close()
        self._epoll.close()
        os.close(self._timer.fd)

    def _send_due(self, waiting: deque[int]) -> None:
        now = time.monotonic_ns()
        while waiting and waiting[0] <= now and self._idle:
            due = waiting.popleft()
            one = self._idle.pop()
            self._due[one.fileno()] = due
            one.send(self._payload)
            now = time.monotonic_ns()
            if due >= self._timed_from_ns:
                self.late_ns.append(now - due)
        if waiting and waiting[0] > now:
            self._timer.set(waiting[0])

    def _receive(self, one: socket.socket) -> None:
        data = one.recv(65_536)
        now = time.monotonic_ns()
        fd = one.fileno()
        if len(data) != self._num_whole_bytes or fd in self._partial:
            data = self._partial.pop(fd, b"") + data
            end = data.find(b"\r\n\r\n")
            length = find_length(data[: end + 2]) if end >= 0 else None
            if not data or length is None or len(data) < end + 4 + length:
                self._wait_on(one, data)
                return
            self._num_whole_bytes = end + 4 + length
        due = self._due.pop(fd)
        if not data.startswith(b"HTTP/1.1 200"):
            self.num_bad += 1
        elif due >= self._timed_from_ns:
            self.latencies_ns.append(now - due)
        self._idle.append(one)

    def _wait_on(self, one: socket.socket, data: bytes) -> None:
        """Part of a reply; nothing at all means that the other side hung up."""
        fd = one.fileno()
        if data:
            self._partial[fd] = data
            return
        self._epoll.unregister(fd)
        self._sockets.pop(fd)
        self.num_bad += self._due.pop(fd, None) is not None
        if one in self._idle:
            self._idle.remove(one)
        one.close()


def run_open(command: Open) -> OpenReply:
    """Run one open loop."""
    loop = _OpenLoop(command)
    try:
        number, seed = command.num_warm + command.num_requests, command.seed if command.is_poisson else None
        offsets = plan_times_ns(number, command.rate, seed)
        start_ns = time.monotonic_ns() + _LEAD_NS
        loop.run([start_ns + offset for offset in offsets], command.num_warm)
    finally:
        loop.close()
    return OpenReply(
        latencies_us=[value / 1e3 for value in loop.latencies_ns],
        late_us=[value / 1e3 for value in loop.late_ns],
        num_bad=loop.num_bad,
    )
