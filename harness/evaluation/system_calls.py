"""A seccomp filter that lets a process compute and read, as a classic BPF program; numbers by architecture.

Sources: Linux asm/unistd_64.h (x86_64) and asm-generic/unistd.h (aarch64) for numbers, linux/seccomp.h, linux/filter.h
and linux/audit.h for the words of the program.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping


def _numbers(text: str) -> dict[str, int]:
    return {name: int(number) for name, _, number in (item.partition("=") for item in text.split())}


_X86_64 = _numbers(
    """
    read=0 write=1 readv=19 close=3 fstat=5 lseek=8 mmap=9 mprotect=10 munmap=11 brk=12 rt_sigprocmask=14
    rt_sigreturn=15 pread64=17 access=21 faccessat=269 faccessat2=439 getpid=39 gettid=186 getppid=110 openat=257
    newfstatat=262 stat=4 lstat=6 statx=332 readlink=89 readlinkat=267 getdents64=217 fcntl=72 getrandom=318
    futex=202 clock_gettime=228 clock_getres=229 clock_nanosleep=230 nanosleep=35 gettimeofday=96 time=201
    madvise=28 mremap=25 sched_yield=24 sched_getaffinity=204 exit=60 exit_group=231 sigaltstack=131 getcwd=79
    getuid=102 geteuid=107 getgid=104 getegid=108 uname=63 sysinfo=99 times=100 getrusage=98 rseq=334
    set_robust_list=273 arch_prctl=158 ioctl=16 prlimit64=302 restart_syscall=219 fstatfs=138 statfs=137
    membarrier=324 clone3=435 socket=41 connect=42 bind=49 sendto=44 fork=57 vfork=58 execve=59 execveat=322
    ptrace=101 process_vm_readv=310 process_vm_writev=311 kill=62 tkill=200 mount=165 unshare=272 setns=308 bpf=321
    io_uring_setup=425 pidfd_open=434 pidfd_send_signal=424 chroot=161 pivot_root=155
    """
)
_AARCH64 = _numbers(
    """
    read=63 write=64 readv=65 close=57 fstat=80 lseek=62 mmap=222 mprotect=226 munmap=215 brk=214 rt_sigprocmask=135
    rt_sigreturn=139 pread64=67 faccessat=48 faccessat2=439 getpid=172 gettid=178 getppid=173 openat=56
    newfstatat=79 statx=291 readlinkat=78 getdents64=61 fcntl=25 getrandom=278 futex=98 clock_gettime=113
    clock_getres=114 clock_nanosleep=115 nanosleep=101 gettimeofday=169 madvise=233 mremap=216 sched_yield=124
    sched_getaffinity=123 exit=93 exit_group=94 sigaltstack=132 getcwd=17 getuid=174 geteuid=175 getgid=176
    getegid=177 uname=160 sysinfo=179 times=153 getrusage=165 rseq=293 set_robust_list=99 ioctl=29 prlimit64=261
    restart_syscall=128 fstatfs=44 statfs=43 membarrier=283 clone3=435 socket=198 connect=203 bind=200 sendto=206
    execve=221 execveat=281 ptrace=117 process_vm_readv=270 process_vm_writev=271 kill=129 tkill=130 mount=40
    unshare=97 setns=268 bpf=280 io_uring_setup=425 pidfd_open=434 pidfd_send_signal=424 chroot=51 pivot_root=41
    """
)
NUMBERS: Mapping[str, tuple[int, Mapping[str, int]]] = {
    "x86_64": (0xC000003E, _X86_64),  # AUDIT_ARCH_X86_64
    "aarch64": (0xC00000B7, _AARCH64),  # AUDIT_ARCH_AARCH64
}

# fmt: off
FATAL = frozenset(
    {
        "socket", "connect", "bind", "sendto", "fork", "vfork", "execve", "execveat", "ptrace", "process_vm_readv",
        "process_vm_writev", "kill", "tkill", "mount", "unshare", "setns", "bpf", "io_uring_setup", "pidfd_open",
        "pidfd_send_signal", "chroot", "pivot_root"
    }
)
# fmt: on
"""Nobody who only computes calls these: the process is killed. The host tells of most attempts before (audit hooks)."""

_NO_SUCH = frozenset({"clone3"})
"""Answered with ENOSYS: its flags stand in memory, where a filter cannot look; the C library then tries clone."""

_CREATE_OR_WRITE = 0o3 | 0o100 | 0o1000 | 0o2000 | 0o20000000
"""Of openat: O_ACCMODE, O_CREAT, O_TRUNC, O_APPEND, __O_TMPFILE."""

_FCNTL = (1, 2, 3, 1030)  # F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC
_IOCTL = (0x5401, 0x5451)  # TCGETS, by which Python asks for a terminal; FIOCLEX

_LD, _JEQ, _JSET, _JGE, _RET = 0x20, 0x15, 0x45, 0x35, 0x06
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_NR, _ARCH, _ARGS = 0, 4, 16  # offsets in struct seccomp_data; arguments are 8 bytes, low half first
_X32 = 0x40000000  # x32's calls carry this bit under the same architecture


def program(machine: str) -> bytes:
    """An array of struct sock_filter for `platform.machine()`. What is not listed answers EPERM.

    Raises KeyError for an architecture whose numbers are not here.
    """
    arch, numbers = NUMBERS[machine]
    out: list[bytes] = []

    def say(code: int, value: int, yes: int = 0, no: int = 0) -> None:
        out.append(struct.pack("=HBBI", code, yes, no, value))

    say(_LD, _ARCH)
    say(_JEQ, arch, 1, 0)
    say(_RET, _KILL_PROCESS)
    say(_LD, _NR)
    if machine == "x86_64":
        say(_JGE, _X32, 0, 1)
        say(_RET, _KILL_PROCESS)
    for name, number in numbers.items():
        if name == "openat":
            say(_JEQ, number, 0, 4)
            say(_LD, _ARGS + 8 * 2)
            say(_JSET, _CREATE_OR_WRITE, 0, 1)
            say(_RET, _ERRNO | _EPERM)
            say(_RET, _ALLOW)
        elif name in ("fcntl", "ioctl"):
            known = _FCNTL if name == "fcntl" else _IOCTL
            say(_JEQ, number, 0, len(known) + 3)
            say(_LD, _ARGS + 8 * 1)
            for index, command in enumerate(known):
                say(_JEQ, command, len(known) - index, 0)
            say(_RET, _ERRNO | _EPERM)
            say(_RET, _ALLOW)
        elif name == "prlimit64":  # to read limits, not to set them
            say(_JEQ, number, 0, 6)
            say(_LD, _ARGS + 8 * 2)
            say(_JEQ, 0, 0, 3)
            say(_LD, _ARGS + 8 * 2 + 4)
            say(_JEQ, 0, 0, 1)
            say(_RET, _ALLOW)
            say(_RET, _ERRNO | _EPERM)
        else:
            verdict = _KILL_PROCESS if name in FATAL else _ERRNO | _ENOSYS if name in _NO_SUCH else _ALLOW
            say(_JEQ, number, 0, 1)
            say(_RET, verdict)
    say(_RET, _ERRNO | _EPERM)
    return b"".join(out)
