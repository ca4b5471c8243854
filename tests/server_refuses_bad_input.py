#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every bad option is refused: status 2, a sentence that names it, nothing created or changed."""
import hashlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__) + "/python")
from serving import MIB, SERVER, Scratch, check, image, key

SOCKET = ["--socket", "s"]
GOOD = [*SOCKET, "--disk", "file:a.raw"]
LONG = "x" * 200

# (arguments, what the sentence must name)
CASES = [
    ([], ["no disk", "--socket"]),
    (["--foo"], ["--foo", "--socket", "--queues", "--help"]),
    (["a.raw"], ["a.raw", "--disk"]),
    (SOCKET, ["--socket s", "--disk"]),
    (["--disk", "file:a.raw"], ["file:a.raw", "--socket"]),
    ([*SOCKET, "--disk"], ["--disk", "needs a value"]),
    (["--socket", "--disk", "file:a.raw"], ["--socket", "needs a value"]),
    ([*GOOD, "--queues"], ["--queues", "needs a value"]),
    ([*GOOD, "--queues", "0"], ["--queues 0", "1 to 64"]),
    ([*GOOD, "--queues", "65"], ["--queues 65", "1 to 64"]),
    ([*GOOD, "--queues", "two"], ["--queues two", "number"]),
    ([*GOOD, "--queues", "1x"], ["--queues 1x", "number"]),
    ([*GOOD, "--queues", "-1"], ["--queues -1", "1 to 64"]),
    ([*GOOD, "--queues", "99999999999999999999"], ["--queues", "1 to 64"]),
    ([*GOOD, "--queue-size", "1"], ["--queue-size 1", "2 to 32768"]),
    ([*GOOD, "--queue-size", "40000"], ["--queue-size 40000", "32768"]),
    ([*GOOD, "--packed", "maybe"], ["--packed maybe", "on or off"]),
    ([*GOOD, "--read-only=yes"], ["--read-only", "no value"]),
    ([*GOOD, "--serial", "x" * 21], ["--serial", "20 bytes"]),
    ([*GOOD, "--poll", "sometimes"], ["--poll sometimes", "event, busy or adaptive"]),
    ([*GOOD, "--threads", "0"], ["--threads 0", "1 to 64"]),
    ([*GOOD, "--log", "loud"], ["--log loud", "error, info or debug"]),
    ([*GOOD, "--stats=often"], ["--stats often", "number"]),
    ([*GOOD, *GOOD], ["--socket s", "twice"]),
    ([*SOCKET, "--disk", "file:missing.raw"], ["missing.raw", "does not exist"]),
    ([*SOCKET, "--disk", "file:"], ["file"]),
    ([*SOCKET, "--disk", "file:."], ["file"]),
    ([*SOCKET, "--disk", "file:tiny.raw"], ["tiny.raw", "512"]),
    ([*SOCKET, "--disk", "file:a.raw,direct=maybe"], ["direct", "on or off"]),
    ([*SOCKET, "--disk", "file:a.raw,speed=1"], ["speed", "direct"]),
    ([*SOCKET, "--disk", "tape:a.raw"], ["tape", "file", "ram", "crypt", "throttle"]),
    ([*SOCKET, "--disk", "file:a.raw | zip"], ["zip", "file", "crypt"]),
    ([*SOCKET, "--disk", "crypt:keyfile=good.key"], ["crypt"]),
    ([*SOCKET, "--disk", "file:a.raw | file:b.raw"], ["file"]),
    ([*SOCKET, "--disk", "file:a.raw |"], ["element"]),
    ([*SOCKET, "--disk", "file:a.raw | crypt"], ["keyfile"]),
    ([*SOCKET, "--disk", "file:a.raw | crypt:keyfile=missing.key"], ["missing.key"]),
    ([*SOCKET, "--disk", "file:a.raw | crypt:keyfile=short.key"], ["short.key", "63", "64"]),
    ([*SOCKET, "--disk", "file:a.raw | crypt:keyfile=good.key,sector=1000"], ["sector", "512"]),
    ([*SOCKET, "--disk", "file:a.raw | throttle:iops=fast"], ["iops", "fast"]),
    (["--socket", "nowhere/s", "--disk", "file:a.raw"], ["nowhere/s"]),
    (["--socket", LONG, "--disk", "file:a.raw"], ["--socket", "107"]),
    (["--socket", "used", "--disk", "file:a.raw"], ["used", "listens"]),
    (["--socket", "a.raw", "--disk", "file:a.raw"], ["a.raw", "socket"]),
    ([*GOOD, "--socket", "t", "--disk", "file:missing.raw"], ["missing.raw"]),
    ([*GOOD, "--socket", "nowhere/t", "--disk", "file:b.raw"], ["nowhere/t"]),
]


def snapshot():
    """Everything there is, with its content."""
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
            for path in pathlib.Path(".").rglob("*")}


def within_reach_of_all():
    """Copies the server here, and the library it needs: the build may lie where only its owner can go."""
    here = pathlib.Path("bin")
    here.mkdir()
    shutil.copy(SERVER, here)
    shutil.copy(SERVER.parent.parent / "libvirtio-offload.so.0", here)
    return {"server": here / SERVER.name, "env": {**os.environ, "LD_LIBRARY_PATH": str(here.resolve())},
            "user": 65534, "group": 65534, "extra_groups": []}


def refused(args, names, server=SERVER, **how):
    before = snapshot()
    done = subprocess.run([server, *args], capture_output=True, text=True, timeout=60, **how)
    said = done.stderr
    check(done.returncode == 2, f"{args}: status {done.returncode}, expected 2; it said: {said}")
    lines = [line for line in said.splitlines() if "queues: " not in line]
    check(len(lines) == 1, f"{args}: expected one sentence: {said}")
    for name in names:
        check(name in lines[0], f"{args}: the sentence does not name '{name}': {lines[0]}")
    check(snapshot() == before, f"{args}: something was created or changed")


with Scratch() as scratch:
    image("a.raw")
    image("b.raw")
    image("tiny.raw", 100)
    key("good.key")
    key("short.key", 63)
    with socket.socket(socket.AF_UNIX) as used:
        used.bind("used")
        used.listen()
        for arguments, names in CASES:
            refused(arguments, names)
    if os.geteuid() == 0:
        os.chmod(scratch.path, 0o755)
        nobody = within_reach_of_all()
        os.chmod("a.raw", 0o666)
        refused(GOOD, ["--socket s", "Permission denied"], **nobody)
        os.chmod("a.raw", 0o600)
        refused(GOOD, ["a.raw", "Permission denied"], **nobody)
print(f"{len(CASES)} refusals")
