#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every bad option is refused: status 2, a sentence that names it, nothing created or changed."""
import os
import pathlib
import socket
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__) + "/python")
from serving import Scratch, check
from switching import VSWITCH

A = ["--port", "vhost-user:a.sock"]
LONG = "x" * 200

# (arguments, what the sentence must name)
CASES = [
    ([], ["nothing to do", "--port", "--control"]),
    (["--foo"], ["--foo", "--port", "--threads", "--help"]),
    (["a.sock"], ["a.sock", "--port"]),
    (["--port"], ["--port", "needs a value"]),
    (["--port", "--poll"], ["--port", "needs a value"]),
    (["--port", ""], ["leads nowhere", "vhost-user"]),
    (["--port", "a.sock"], ["a.sock", "vhost-user"]),
    (["--port", "vhost-user:"], ["--port vhost-user:", "path"]),
    (["--port", "tape:x"], ["tape"]),
    (["--port", "tap:"], ["tap"]),
    (["--port", "file:missing"], ["missing"]),
    (["--port", "vhost-user:a.sock,vlan=0"], ["vlan=0", "1 to 4094"]),
    (["--port", "vhost-user:a.sock,vlan=4095"], ["vlan=4095", "1 to 4094"]),
    (["--port", "vhost-user:a.sock,vlan=ten"], ["vlan=ten"]),
    (["--port", "vhost-user:a.sock,vlan="], ["vlan="]),
    (["--port", "vhost-user:a.sock,trunk=10-"], ["trunk=10-"]),
    (["--port", "vhost-user:a.sock,trunk=10++20"], ["trunk=10++20"]),
    (["--port", "vhost-user:a.sock,isolated=maybe"], ["isolated=maybe", "on or off"]),
    (["--port", "vhost-user:a.sock,link=left"], ["link=left", "up or down"]),
    (["--port", "vhost-user:a.sock,packets=1T"], ["packets=1T"]),
    (["--port", "vhost-user:a.sock,bytes=-1"], ["bytes=-1"]),
    (["--port", "vhost-user:a.sock,storm=1/"], ["storm=1/"]),
    (["--port", "vhost-user:a.sock,name="], ["name=", "letters"]),
    (["--port", "vhost-user:a.sock,name=a b"], ["name=a b", "letters"]),
    (["--port", f"vhost-user:a.sock,name={LONG}"], [LONG, "31"]),
    (["--port", f"vhost-user:{LONG[:40]}.sock"], ["name=NAME"]),
    (["--port", f"vhost-user:{LONG},name=a"], ["107"]),
    (["--port", "vhost-user:a.sock,client=perhaps"], ["client=perhaps", "on or off"]),
    (["--port", "vhost-user:a.sock,pairs=65"], ["pairs"]),
    (["--port", "vhost-user:a.sock,mac=zz"], ["mac"]),
    (["--port", "vhost-user:a.sock,speed=1"], ["speed"]),
    (["--port", "vhost-user:a.sock,mirror=zzz"], ["mirror=zzz"]),
    (["--port", "vhost-user:a.sock,mirror=a"], ["own mirror"]),
    ([*A, *A], ["'a'", "already"]),
    ([*A, "--port", "vhost-user:b/a.sock"], ["'a'", "already"]),
    (["--port", "vhost-user:nowhere/a.sock"], ["nowhere/a.sock"]),
    (["--port", "vhost-user:used"], ["used", "listens"]),
    (["--port", "vhost-user:plain"], ["plain", "socket"]),
    ([*A, "--port", "vhost-user:nowhere/b.sock"], ["nowhere/b.sock"]),
    ([*A, "--threads", "0"], ["--threads 0", "1 to 64"]),
    ([*A, "--threads", "65"], ["--threads 65", "1 to 64"]),
    ([*A, "--threads", "two"], ["--threads two", "number"]),
    ([*A, "--poll", "sometimes"], ["--poll sometimes", "event, busy or adaptive"]),
    ([*A, "--stats"], ["--stats", "needs a value"]),
    ([*A, "--stats", "often"], ["--stats often", "number"]),
    ([*A, "--age", "0"], ["--age 0"]),
    ([*A, "--max-ports", "4097"], ["--max-ports 4097", "4096"]),
    ([*A, "--max-ports", "1", "--port", "vhost-user:b.sock"], ["b.sock"]),
    ([*A, "--max-addresses", "1"], ["--max-addresses 1", "16"]),
    ([*A, "--max-flows", "1"], ["--max-flows 1", "16"]),
    ([*A, "--log", "loud"], ["--log loud", "error, info or debug"]),
    ([*A, "--version=1"], ["--version", "no value"]),
    ([*A, "--control", "nowhere/c"], ["nowhere/c"]),
    ([*A, "--control", "plain"], ["plain", "not a socket"]),
    ([*A, "--control", "used"], ["used", "listens"]),
    ([*A, "--control", LONG], ["107"]),
    ([*A, "--control="], ["--control"]),
    ([*A, "--control-timeout", "0"], ["--control-timeout 0", "1 to 3600"]),
    (["ctl"], ["usage", "show"]),
    (["ctl", "--foo"], ["usage"]),
    (["ctl", "--control", "nobody", "show"], ["nobody", "No such file"]),
    (["ctl", "--control", LONG, "show"], ["107"]),
    (["ctl", "--control", "plain", "show"], ["plain"]),
]


def refused(args, names):
    before = sorted(pathlib.Path(".").rglob("*"))
    done = subprocess.run([VSWITCH, *args], capture_output=True, text=True, timeout=60)
    check(done.returncode == 2, f"{args}: status {done.returncode}, expected 2; it said: {done.stderr}")
    lines = [line for line in done.stderr.splitlines() if not line.startswith("vswitch: port ")]
    check(len(lines) == 1 or "usage" in lines[0], f"{args}: expected one sentence: {done.stderr}")
    for name in names:
        check(name in done.stderr, f"{args}: the sentence does not name '{name}': {done.stderr}")
    check(sorted(pathlib.Path(".").rglob("*")) == before, f"{args}: something was created or removed")


with Scratch():
    pathlib.Path("plain").write_text("a file")
    with socket.socket(socket.AF_UNIX) as used:
        used.bind("used")
        used.listen(64)
        for arguments, words in CASES:
            refused(arguments, words)
    check(pathlib.Path("plain").read_text() == "a file", "a file in the way is left as it is")
print(f"{len(CASES)} refusals")
