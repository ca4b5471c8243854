#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Front ends that say nothing, stop in the middle, never read, or come and go: the others are served, nothing leaks."""
import os
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__) + "/python")
from serving import Scratch, check
from switching import BROADCAST, CONTROL, GET_FEATURES, Guest, Switch, ctl, rows

MAC = "52:54:00:00:00:0e"
ASK = struct.pack("<III", GET_FEATURES, 1, 0)


def connect(path):
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.connect(path)
    return peer


def silent():
    return connect("evil.sock")


def half_a_message():
    peer = connect("evil.sock")
    peer.sendall(struct.pack("<III", GET_FEATURES, 1, 8) + b"1234")
    return peer


def never_reads():
    """Asks until nothing more goes in, or the switch has had enough."""
    peer = connect("evil.sock")
    peer.settimeout(1)
    try:
        while True:
            peer.sendall(ASK * 1000)
    except OSError:
        return peer


def queue_up():
    """Many at once at a socket that serves one at a time."""
    return [connect("evil.sock") for _ in range(20)]


def silent_control():
    """More than it has room for."""
    return [connect(CONTROL) for _ in range(20)]


def others_talk(a, b, text):
    a.send(a.frame(BROADCAST, text))
    check(b.receive() == a.frame(BROADCAST, text), f"{text}: a broadcast of others")
    b.send(b.frame(a.mac, text))
    check(a.receive() == b.frame(a.mac, text), f"{text}: a packet of others")
    check("evil" in ctl("ports"), f"{text}: the control socket answers")


def holds(switch):
    """Descriptors and mappings of guests' memory."""
    root = f"/proc/{switch.process.pid}"
    with open(f"{root}/maps") as maps:
        return len(os.listdir(f"{root}/fd")), sum("memfd:guest" in line for line in maps)


def leaks(switch, before):
    """The control client that has just left may still be there; what leaks stays."""
    end = time.monotonic() + 10
    while any(now > then for now, then in zip(holds(switch), before)):
        if time.monotonic() > end:
            return True
    return False


def come_and_go(switch, a):
    """Each sets its memory and its queues up, sends, and is gone: with what it is replaced by, or in the middle."""
    for i in range(60):
        with Guest("evil.sock", MAC) as evil:
            if i % 2:
                evil.send(evil.frame(a.mac, f"{i}"))
                check(a.receive() == evil.frame(a.mac, f"{i}"), "it is served")
        while rows("ports", "port")["evil"]["state"] == "connected":
            pass
        if i == 3:
            first = holds(switch)
    check(not leaks(switch, first), f"descriptors and mappings: {holds(switch)} after 60, {first} after 4")


with Scratch(), Switch("--port", "vhost-user:a.sock", "--port", "vhost-user:b.sock", "--port", "vhost-user:evil.sock",
                       "--threads", "2", "--control-timeout", "1") as switch, \
        Guest("a.sock", "52:54:00:00:00:0a") as a, Guest("b.sock", "52:54:00:00:00:0b") as b:
    for nuisance in (silent, half_a_message, never_reads, queue_up, silent_control):
        peers = nuisance()
        for n in range(5):
            others_talk(a, b, f"{nuisance.__name__} {n}")
        for peer in peers if isinstance(peers, list) else [peers]:
            peer.close()
    come_and_go(switch, a)
    switch.stop()
