"""The process that runs a stranger's file gives up what it could do harm with: files, network, processes, time, memory.

Linux only. `namespaces`: a root of its own with nothing in it but the interpreter, read-only, and a network without
interfaces. `landlock`: the same files by rules of the Landlock security module, where namespaces are not allowed. Both:
a seccomp filter (system_calls.py), resource limits, no capabilities. Nothing but ctypes and the standard library, as it
runs before anything else is imported.

Sources: namespaces(7), mount_namespaces(7), pivot_root(2), landlock(7), seccomp(2), capset(2).
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
from collections.abc import Callable, Sequence

from harness.evaluation.system_calls import NUMBERS, program

MIB = 1 << 20
KINDS = ("namespaces", "landlock")

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWNET = 0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x40000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
_KEPT_FLAGS = 2 | 4 | 8 | 1024 | 2048  # statvfs' and mount's numbers agree: nosuid, nodev, noexec, noatime, nodiratime
_MNT_DETACH = 2
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 38, 22, 1, 4
_SECCOMP_MODE_FILTER = 2
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446  # the same numbers on every architecture
_LANDLOCK_EXECUTE, _LANDLOCK_READ_FILE, _LANDLOCK_READ_DIR = 1, 4, 8
_LANDLOCK_FIRST = (1 << 13) - 1  # every right of ABI 1
_LANDLOCK_LATER = {2: 1 << 13, 3: 1 << 14, 5: 1 << 15}  # refer, truncate, ioctl_dev

_libc = ctypes.CDLL(None, use_errno=True)


class NotAllowed(Exception):
    """This machine does not let the process contain itself in this way."""


def _call(name: str, *arguments: object) -> int:
    answer = int(getattr(_libc, name)(*arguments))
    if answer < 0:
        error = ctypes.get_errno()
        raise NotAllowed(f"{name}: {os.strerror(error)}")
    return answer


def contain(kind: str, readable: Sequence[str], scratch: str) -> tuple[str, int]:
    """Files and network: `kind` is one of KINDS, or 'auto' for the first that works; the one that is in force, and what
    `close_down` asks for.

    `readable`: folders and files; `scratch`: an empty folder for the mount point of the new root.
    Raises NotAllowed, with what each attempt said.
    """
    if platform.system() != "Linux" or platform.machine() not in NUMBERS:
        raise NotAllowed(f"{platform.system()} on {platform.machine()}: needs Linux on {' or '.join(NUMBERS)}")
    _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    said: list[str] = []
    ways: dict[str, Callable[[], None]] = {
        "namespaces": lambda: _enter_namespaces(readable, scratch),
        "landlock": lambda: _restrict_files(readable),
    }
    for name in KINDS if kind == "auto" else (kind,):
        try:
            ways[name]()
        except (NotAllowed, OSError) as error:
            said.append(f"{name}: {error}")
        else:
            return name, statm
    raise NotAllowed("; ".join(said))


def close_down(statm: int, cpu_s: float, memory_bytes: int, output_bytes: int) -> None:
    """The rest, once everything is imported: limits, no capabilities, the filter of system calls.

    `memory_bytes`: of address space beyond what is in use now. Raises NotAllowed.
    """
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # too much output ends the process, rather than a write of it
    limits = {
        resource.RLIMIT_CPU: (max(int(cpu_s), 1), max(int(cpu_s), 1) + 1),
        resource.RLIMIT_AS: (_address_space(statm) + memory_bytes,) * 2,
        resource.RLIMIT_FSIZE: (output_bytes,) * 2,
        resource.RLIMIT_NOFILE: (64, 64),
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_NPROC: (0, 0),
    }
    for what, (soft, hard) in limits.items():
        most = resource.getrlimit(what)[1]
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)
        resource.setrlimit(what, (soft, hard))
    header = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    _call("capset", header, struct.pack("=6I", *(0,) * 6))
    _call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _filter_system_calls()


def _address_space(statm: int) -> int:
    """Bytes in use. `statm`: /proc/self/statm, opened before it went out of sight."""
    try:
        return int(os.pread(statm, 64, 0).split()[0]) * resource.getpagesize()
    finally:
        os.close(statm)


def _filter_system_calls() -> None:
    code = program(platform.machine())
    kept = ctypes.create_string_buffer(code, len(code))
    head = struct.pack("@HP", len(code) // 8, ctypes.addressof(kept))  # struct sock_fprog, padded as C does
    _call("prctl", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, head, 0, 0)


# -- namespaces --------------------------------------------------------------------------------------------------------


def _enter_namespaces(readable: Sequence[str], scratch: str) -> None:
    user, group = os.geteuid(), os.getegid()
    _call("unshare", _NEWUSER | _NEWNS | _NEWNET | _NEWIPC | _NEWUTS)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    _mount("none", "/", _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", scratch, _MS_NOSUID | _MS_NODEV, "tmpfs", "size=1m,mode=755")
    for path in _outermost(readable):
        _show(path, scratch)
    _mount("none", scratch, _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV, "tmpfs", "size=1m,mode=755")
    os.chdir(scratch)
    # The old root is stacked below the new one, and taken away: pivot_root(2), "pivot_root(".", ".")".
    _call("syscall", 155 if platform.machine() == "x86_64" else 41, b".", b".")
    _call("umount2", b".", _MNT_DETACH)
    os.chdir("/")


def _show(path: str, root: str) -> None:
    """Read-only at the same place below `root`; a symbolic link as one, with what it leads to shown by its own name."""
    inside = root + path
    os.makedirs(os.path.dirname(inside), exist_ok=True)
    if os.path.islink(path):
        os.symlink(os.readlink(path), inside)
        return
    if os.path.isdir(path):
        os.makedirs(inside, exist_ok=True)
    else:
        with open(inside, "w"):
            pass
    _mount(path, inside, _MS_BIND | _MS_REC)
    kept = os.statvfs(inside).f_flag & _KEPT_FLAGS
    _mount("none", inside, _MS_BIND | _MS_REMOUNT | _MS_RDONLY | kept)


def _outermost(paths: Sequence[str]) -> list[str]:
    """Without those below another one; folders before what lies in links to them."""
    found: list[str] = []
    for path in sorted(dict.fromkeys(paths), key=lambda path: (path.count("/"), path)):
        if os.path.exists(path) and not any(path.startswith(other + "/") for other in found):
            found.append(path)
    return found


def _mount(source: str, target: str, flags: int, kind: str = "", options: str = "") -> None:
    names = (os.fsencode(source), os.fsencode(target), kind.encode() or None, ctypes.c_ulong(flags))
    _call("mount", *names, options.encode() or None)


# -- Landlock ----------------------------------------------------------------------------------------------------------


def _restrict_files(readable: Sequence[str]) -> None:
    abi = _call("syscall", _LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    handled = _LANDLOCK_FIRST
    for since, right in _LANDLOCK_LATER.items():
        handled |= right if abi >= since else 0
    rules = struct.pack("=Q", handled)
    ruleset = _call("syscall", _LANDLOCK_CREATE, rules, ctypes.c_size_t(len(rules)), 0)
    for path in _outermost([os.path.realpath(path) for path in readable]):
        at = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rights = _LANDLOCK_EXECUTE | _LANDLOCK_READ_FILE | (_LANDLOCK_READ_DIR if os.path.isdir(path) else 0)
        _call("syscall", _LANDLOCK_ADD, ruleset, 1, struct.pack("=Qi", rights, at), 0)
        os.close(at)
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _call("syscall", _LANDLOCK_RESTRICT, ruleset, 0)
    os.close(ruleset)
