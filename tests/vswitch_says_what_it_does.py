#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""--help, --version, the tables, --stats and SIGUSR1; packets go where the tables say."""
import os
import re
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__) + "/python")
from serving import Scratch, check
from switching import BROADCAST, VSWITCH, Guest, Switch, ctl, rows

PORTS = ["--port", "vhost-user:a.sock,vlan=10", "--port", "vhost-user:b.sock,vlan=10",
         "--port", "vhost-user:c.sock,vlan=20", "--port", "vhost-user:t.sock,trunk=10+20,vlan=99"]


def line_about(text, port):
    return next(line.split() for line in text.splitlines() if line.startswith(port + " "))


def packets_go_where_they_should():
    with Guest("a.sock", "52:54:00:00:00:0a") as a, Guest("b.sock", "52:54:00:00:00:0b") as b, \
            Guest("c.sock", "52:54:00:00:00:0c") as c, Guest("t.sock", "52:54:00:00:00:0d") as t:
        check(all(row["state"] == "connected" for row in rows("ports", "port").values()), "all have front ends")
        hello = a.frame(BROADCAST, "hello")
        a.send(hello)
        check(b.receive() == hello, "a broadcast reaches the other one of its VLAN")
        check(t.receive() == hello[:12] + b"\x81\x00\x00\x0a" + hello[12:], "and the trunk, with a tag")
        b.send(b.frame(a.mac, "there"))
        check(a.receive() == b.frame(a.mac, "there"), "an answer reaches the one that was heard")
        t.send(t.frame(BROADCAST, "twenty", vlan=20))
        got = c.receive()
        check(got[:14] == BROADCAST + t.mac + b"\x88\xb5" and got[14:20] == b"twenty", f"the tag is taken off: {got}")
        check(b.receive(0) is None and t.receive(0) is None, "who is not meant gets nothing")
        heard = rows("addresses", "address")
        check(heard["52:54:00:00:00:0a"]["port"] == "a" and heard["52:54:00:00:00:0d"]["vlan"] == 20,
              f"who was heard where: {heard}")
        counted_as_they_went()
        c.send(c.frame(BROADCAST, "out", vlan=10))  # a tag on a port that carries none
        check(rows("stats", "port")["c"]["vlan"] == 1, "why a packet was dropped")
        check(re.search(r"^c +vlan +1$", ctl("stats"), re.M), "and so for people")
    while any(row["state"] == "connected" for row in rows("ports", "port").values()):
        pass


def counted_as_they_went():
    stats = rows("stats", "port")
    for port, sent, delivered in (("a", 1, 1), ("b", 1, 1), ("c", 0, 1), ("t", 1, 1)):
        row = stats[port]
        check((row["sent"], row["delivered"], row["dropped"]) == (sent, delivered, 0), f"{port} counted {row}")
    check(stats["a"]["sent_bytes"] == 60 and stats["t"]["flooded"] == 0, f"{stats}")


with Scratch():
    text = subprocess.run([VSWITCH, "--help"], check=True, capture_output=True, text=True).stdout
    for word in ("--port", "--control", "vhost-user", "tap", "trunk", "mirror", "remove", "SIGUSR1", "qemu"):
        check(word in text, f"--help speaks of {word}")
    text = subprocess.run([VSWITCH, "ctl", "--help"], check=True, capture_output=True, text=True).stdout
    check("address add" in text, "so does ctl --help")
    text = subprocess.run([VSWITCH, "--version"], check=True, capture_output=True, text=True).stdout
    check(re.search(r"\d+\.\d+\.\d+", text), f"--version has a version: {text}")

    for how in (["--threads", "1"], ["--threads", "3"], ["--poll", "adaptive"], ["--poll"]):
        with Switch(*PORTS, *how) as switch:
            check(re.search(r"up \d+ s, threads: \d", ctl("show")), "show says what runs")
            check(line_about(ctl("ports"), "a") == ["a", "waiting", "0", "10", "vhost-user:a.sock"], "a port's row")
            packets_go_where_they_should()
            switch.send(signal.SIGUSR1)
            check("DELIVERED" in switch.process.stdout.readline(), "counters on SIGUSR1")
            switch.stop()
            check(not os.path.exists("a.sock"), "no socket is left")
    with Switch(*PORTS, "--stats", "1") as switch:
        check("DELIVERED" in switch.process.stdout.readline(), "counters every second")
        check("DELIVERED" in switch.stop(signal.SIGINT), "and at the end")
