#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""--help, --version, --stats, SIGUSR1 and SIGHUP."""
import os
import re
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__) + "/python")
from serving import MIB, SERVER, Scratch, Server, check, copy, image

with Scratch():
    text = subprocess.run([SERVER, "--help"], check=True, capture_output=True, text=True).stdout
    for word in ("--socket", "--disk", "--stats", "crypt", "keyfile", "throttle", "SIGHUP", "qemu"):
        check(word in text, f"--help speaks of {word}")
    text = subprocess.run([SERVER, "--version"], check=True, capture_output=True, text=True).stdout
    check(re.search(r"\d+\.\d+\.\d+", text), f"--version has a version: {text}")

    image("a.raw", 2 * MIB)
    image("out.raw", 2 * MIB, b"-")
    with Server("--socket", "s", "--disk", "file:a.raw", "--stats") as server:
        copy("--chunk=4", "vhost_user:s", "file:out.raw")
        server.send(signal.SIGUSR1)
        line = next(line for line in server.process.stdout if "queue 0:" in line)
        check("512 requests, 2.0 MiB read, 0.0 MiB written" in line, f"counters on SIGUSR1: {line}")

        os.truncate("a.raw", 5 * MIB)
        server.send(signal.SIGHUP)
        server.wait_for(f"now {5 * MIB} bytes")

        text = server.stop()
        check("512 requests" in text, f"counters at exit: {text}")
        check(re.search(r"50 % < [\d.]+ [num]?s, 90 %", text), f"latencies at exit: {text}")
        check("system calls" in text, f"the loop's counters at exit: {text}")
    with Server("--socket", "s", "--disk", "file:a.raw", "--stats", "1") as server:
        check("file:a.raw" in server.process.stdout.readline(), "counters every second")
        server.stop()
