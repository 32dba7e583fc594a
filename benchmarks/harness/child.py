"""Started by `process.py`: child.py CPUS TIMEOUT STDOUT STDERR COMMAND...

Runs the command on one core, or on several (0,1), before everything else there if root allows, and prints what it took. Imports
as little as it can, to stay smaller than what it measures.
"""

import os
import signal
import sys
import time


def main(cpus: str, timeout: str, output: str, errors: str, *command: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    redirect = [(os.POSIX_SPAWN_OPEN, 1, output, flags, 0o600), (os.POSIX_SPAWN_OPEN, 2, errors, flags, 0o600)]
    os.sched_setaffinity(0, set(map(int, cpus.split(","))))
    if os.geteuid() == 0:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    start = time.monotonic_ns()
    child = os.posix_spawnp(command[0], command, os.environ, file_actions=redirect)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.alarm(int(timeout))
    _, status, usage = os.wait4(child, 0)
    wall_ns = time.monotonic_ns() - start
    print(
        f'{{"wall_ns": {wall_ns}, "user_ns": {usage.ru_utime * 1e9:.0f}, "system_ns": {usage.ru_stime * 1e9:.0f},'
        f' "peak_rss_kib": {usage.ru_maxrss}, "exit_code": {os.waitstatus_to_exitcode(status)}}}'
    )


main(*sys.argv[1:])
