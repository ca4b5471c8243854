#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A guest truncates its memory file under its queues: the switch and the other guests live on."""
import fcntl
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__) + "/python")
from serving import Scratch, check
from switching import BROADCAST, QUEUE, Guest, Switch, rows

MAC = "52:54:00:00:00:0e"


def others_talk(a, b, text):
    """A broadcast, which the third is to get too, and a packet; what that one sent may come in between."""
    a.send(a.frame(BROADCAST, text))
    while b.receive() != a.frame(BROADCAST, text):
        pass
    b.send(b.frame(a.mac, text))
    while a.receive() != b.frame(a.mac, text):
        pass


def shrink(a, b, size, kick):
    """Its buffers wait in the switch; what is left of its memory is the first `size` bytes."""
    with Guest("evil.sock", MAC) as evil:
        evil.send(evil.frame(BROADCAST, "sound"))
        os.ftruncate(evil.fd, size)
        for n in range(20):
            if kick:
                os.eventfd_write(evil.tx.kick, 1)
                os.eventfd_write(evil.rx.kick, 1)
            others_talk(a, b, f"{size} {kick} {n}")
    while rows("ports", "port")["evil"]["state"] == "connected":
        pass


def survives():
    with Switch("--port", "vhost-user:a.sock", "--port", "vhost-user:b.sock", "--port", "vhost-user:evil.sock",
                "--threads", "2") as switch, \
            Guest("a.sock", "52:54:00:00:00:0a") as a, Guest("b.sock", "52:54:00:00:00:0b") as b:
        for size in (0, 0x8000, QUEUE):  # nothing; the receive ring without buffers; all that receives
            shrink(a, b, size, kick=False)
            shrink(a, b, size, kick=True)
        with Guest("evil.sock", MAC) as sound:
            sound.send(sound.frame(a.mac, "sound again"))
            while a.receive() != sound.frame(a.mac, "sound again"):
                pass
        switch.stop()


def refuses():
    """Where memory must be sealed, a file that could shrink is not even mapped."""
    with Switch("--port", "vhost-user:a.sock", "--port", "vhost-user:b.sock,require-seals=on") as switch, \
            Guest("a.sock", "52:54:00:00:00:0a") as a:
        try:
            with Guest("b.sock", MAC):
                refused = False
        except (SystemExit, OSError):
            refused = True
        check(refused, "memory without seals ends the connection")
        switch.wait_for("F_SEAL_SHRINK")
        with Guest("b.sock", MAC, seals=fcntl.F_SEAL_SHRINK) as b:
            b.send(b.frame(a.mac, "sealed"))
            check(a.receive() == b.frame(a.mac, "sealed"), "sealed memory is taken")
        switch.stop()


with Scratch():
    survives()
    refuses()
