"""Live: what capturing costs on a real interface, beside tcpdump with the same settings.

A veth pair in a network namespace of its own; one end is sent into, the other captured from. The namespace, and with it the
pair, ends with this process.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .answers import fastmon_fault, read_fastmon, times
from .case import Case, Plan, Sample, UnavailableError, medians
from .inputs import Capture, compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CAPTURING", "Live", "enter_namespace", "make_interfaces", "measured_live", "needs_two_cores"]

FASTMON, TCPDUMP = "fastmon live", "tcpdump -w /dev/null"
SENDING, CAPTURING = "bench-tx", "bench-rx"
SNAPLEN, BUFFER_MIB = 96, 64
CAPTURE = Capture("mix", 200_000, ("--conversations", "50000"))
RATE, SECONDS = 400_000, 10
QUICK_RATE, QUICK_SECONDS = 50_000, 4
SETTLE_S = 1.5  # tcpdump's last block waits a second for more
IN_NAMESPACE = "FASTMON_BENCH_NAMESPACE"
MTU = 65_000  # captured frames may be as long as offloading makes them


def enter_namespace() -> None:
    """Start this program again in a network namespace of its own, unless it is in one."""
    if os.environ.get(IN_NAMESPACE):
        return
    if os.geteuid() != 0:
        raise UnavailableError("the case 'live' needs root, for a network namespace")
    for tool in ("unshare", "ip", "tcpdump"):
        if shutil.which(tool) is None:
            raise UnavailableError(f"the case 'live' needs {tool}")
    os.environ[IN_NAMESPACE] = "1"
    sys.stdout.flush()
    os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, *sys.argv])


def needs_two_cores(plan: Plan) -> None:
    """Refuse to send from the core that captures."""
    if plan.cpu == plan.other_cpu or (os.cpu_count() or 1) < 2:
        raise UnavailableError("two cores are needed: one sends")


def make_interfaces() -> None:
    """Make the pair of interfaces, on which the kernel sends nothing of its own, and let /sys show them, unless done."""
    if Path(f"/sys/class/net/{SENDING}").exists():
        return
    Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
    commands = [
        f"ip link add {SENDING} mtu {MTU} type veth peer name {CAPTURING} mtu {MTU}",
        f"ip link set {SENDING} up",
        f"ip link set {CAPTURING} up",
        "mount -t sysfs sysfs /sys",
    ]
    for command in commands:
        subprocess.run(command.split(), check=True, timeout=10)


@dataclass(slots=True)
class Live(Case):
    """Processor time per frame received, in ns, at an even rate; frames sent must be accounted or reported as dropped."""

    samples: int = 7

    def subjects(self, plan: Plan) -> list[str]:
        """Return the two programs."""
        del plan
        return [FASTMON, TCPDUMP]

    def prepare(self, plan: Plan) -> None:
        """Make the capture to send, the sender and the pair of interfaces."""
        enter_namespace()
        needs_two_cores(plan)
        CAPTURE.make(plan.cache)
        compiled("send_frames.c", plan.cache)
        make_interfaces()

    def sample(self, plan: Plan, subject: str) -> Sample:
        """Capture with one of them while frames are sent."""
        rate, seconds = (QUICK_RATE, QUICK_SECONDS) if plan.quick else (RATE, SECONDS)
        truth = times(CAPTURE.truth(plan.cache), rate * seconds // CAPTURE.frames)
        done = measured_live(plan, self.command(plan, subject), CAPTURE.path(plan.cache), truth["frames"], rate)
        try:
            counted, dropped, fault = (fastmon_result if subject == FASTMON else tcpdump_result)(done.output, done.errors, truth)
        except (KeyError, ValueError) as error:
            counted, dropped, fault = 0, 0, f"unreadable answer: {error!r}"
        fault = f"exit code {done.exit_code}" if done.exit_code else fault
        return self.as_sample(subject, truth, done.sent, (counted, dropped, done.cpu_ns), fault)

    def as_sample(
        self, subject: str, truth: dict[str, Any], sent: dict[str, int], measured: tuple[int, int, int], fault: str
    ) -> Sample:
        """Return the sample, its answer wrong if frames are missing."""
        counted, dropped, spent_ns = measured
        if counted + dropped != sent["sent"]:
            fault = fault or f"{sent['sent']} frames sent, {counted} accounted and {dropped} dropped"
        details = {
            "workload": CAPTURE.name,
            "seed": CAPTURE.seed,
            "frames": sent["sent"],
            "hosts": truth["n_hosts"],
            "received": counted,
            "dropped": dropped,
            "rate": round(sent["sent"] / sent["ns"] * 1e9),
            "cpu_seconds": round(spent_ns / 1e9, 4),
            "snaplen": SNAPLEN,
            "buffer_mib": BUFFER_MIB,
            "checksum": truth["hosts_sha256"][:16],
        }
        return Sample(subject, spent_ns / max(counted, 1), "CPU ns/frame", fault, details)

    def command(self, plan: Plan, subject: str) -> list[str]:
        """Return how to capture."""
        if subject == FASTMON:
            settings = ["--snaplen", str(SNAPLEN), "--buffer", f"{BUFFER_MIB}MiB"]
            return [plan.fastmon, "live", CAPTURING, "--hosts-only", "-i", "0", "--format", "jsonl", *settings]
        return ["tcpdump", "-n", "-i", CAPTURING, "-s", str(SNAPLEN), "-B", str(BUFFER_MIB * 1024), "-w", "/dev/null"]

    def verdict(self, samples: Sequence[Sample]) -> list[str]:
        """Return the ratio, and what was lost."""
        found = medians(samples)
        lost = {name: sum(sample.details["dropped"] for sample in samples if sample.subject == name) for name in found}
        lines = [f"{name}: {lost[name]} frames lost in all" for name in found]
        if len(found) == 2:
            lines.append(f"fastmon spends {found[FASTMON] / found[TCPDUMP]:.2f} times tcpdump's processor time on a frame")
        return lines


class LiveRun(NamedTuple):
    """A run of a capturing program.  sent: what the sender says.  cpu_ns: of the program, from the first frame to the last."""

    output: Path
    errors: Path
    sent: dict[str, int]
    cpu_ns: int
    exit_code: int


def measured_live(plan: Plan, command: Sequence[str], capture: Path, frames: int, rate: int) -> LiveRun:
    """Let a program capture while the frames of a capture are sent, again and again, until it were so many."""
    output, errors = plan.scratch / "stdout", plan.scratch / "stderr"
    with output.open("wb") as stdout, errors.open("wb") as stderr:
        program = subprocess.Popen([*pinned(plan.cpu), *command], stdout=stdout, stderr=stderr)
        try:
            await_capture(program)
            before = cpu_ns(program.pid)
            sent = send(plan, capture, frames, rate)
            time.sleep(SETTLE_S)
            spent_ns = cpu_ns(program.pid) - before
            program.send_signal(signal.SIGINT)
            program.wait(timeout=30)
        finally:
            if program.poll() is None:
                program.kill()
                program.wait()
    return LiveRun(output, errors, sent, spent_ns, program.returncode)


def pinned(cpu: int) -> list[str]:
    """Return a command's beginning that runs it on one core, before everything else there."""
    return ["nice", "-n", "-20", "taskset", "-c", str(cpu)]


def await_capture(program: subprocess.Popen[bytes]) -> None:
    """Wait until the program has a packet socket with its ring, and a moment more."""
    sockets, until = Path(f"/proc/{program.pid}/net/packet"), time.monotonic() + 20
    while len(sockets.read_text().splitlines()) < 2:
        if program.poll() is not None or time.monotonic() > until:
            raise UnavailableError(f"{program.args!r} does not capture")
        time.sleep(0.05)
    time.sleep(0.7)


def cpu_ns(pid: int) -> int:
    """Return the processor time that a process has used so far."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)


def send(plan: Plan, capture: Path, frames: int, rate: int) -> dict[str, int]:
    """Send so many frames of a capture; return how many were sent and in how many nanoseconds."""
    command = [*pinned(plan.other_cpu), compiled("send_frames.c", plan.cache), SENDING]
    done = subprocess.run(
        [*map(str, [*command, capture, frames, rate])],
        capture_output=True,
        text=True,
        check=True,
        timeout=10 + 10 * frames / rate,
    )
    result: dict[str, int] = json.loads(done.stdout)
    return result


def fastmon_result(output: Path, errors: Path, truth: dict[str, Any]) -> tuple[int, int, str]:
    """Return the frames that fastmon accounted and those it reports as dropped, and what is wrong with its totals."""
    del errors
    answer = read_fastmon(output)
    dropped = sum(answer.summary["dropped"].values())
    return answer.summary["frames"], dropped, "" if dropped else fastmon_fault(answer, truth)


def tcpdump_result(output: Path, errors: Path, truth: dict[str, Any]) -> tuple[int, int, str]:
    """Return the frames that tcpdump captured and those it reports as dropped."""
    del output, truth
    text = errors.read_text()
    found = [re.search(rf"(\d+) packets? {what}", text) for what in ("captured", "dropped by kernel")]
    captured, dropped = (int(match[1]) for match in found if match)
    return captured, dropped, ""
