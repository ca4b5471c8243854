#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A guest that breaks its rings harms nobody but itself, and is served again once it has set them up anew."""
import os
import random
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__) + "/python")
from serving import Scratch, check
from switching import BROADCAST, SIZE, Guest, Switch, ctl, rows

MAC = "52:54:00:00:00:0e"


def jumping_index(guest):
    at = guest.tx.at + 0x1000 + 2
    guest.memory[at:at + 2] = struct.pack("<H", 5000)


def head_out_of_range(guest):
    at = guest.tx.at + 0x1000
    guest.memory[at + 4:at + 6] = struct.pack("<H", SIZE)
    guest.memory[at + 2:at + 4] = struct.pack("<H", 1)


def buffer_nowhere(guest):
    guest.memory[guest.tx.at:guest.tx.at + 16] = struct.pack("<QIHH", 1 << 60, 64, 0, 0)
    guest.tx.post(0)


def loop_of_buffers(guest):
    guest.memory[guest.tx.at:guest.tx.at + 16] = struct.pack("<QIHH", guest.tx.buffer(0), 64, 1, 0)
    guest.tx.post(0)


def readable_where_it_receives(guest):
    guest.memory[guest.rx.at:guest.rx.at + 16 * SIZE] = struct.pack("<QIHH", guest.rx.buffer(0), 64, 0, 0) * SIZE


def noise(guest):
    random.seed(7)
    guest.memory[:] = random.randbytes(len(guest.memory))


def next_of(guest, sender):
    """The next frame of that sender: what the evil one sends is broadcast too."""
    while True:
        frame = guest.receive()
        if not frame or frame[6:12] == sender.mac:
            return frame


def others_talk(text):
    a.send(a.frame(BROADCAST, text))
    check(next_of(b, a) == a.frame(BROADCAST, text), f"{text}: a broadcast of others")
    b.send(b.frame(a.mac, text))
    check(next_of(a, b) == b.frame(a.mac, text), f"{text}: a packet of others")


BREAKS = [jumping_index, head_out_of_range, buffer_nowhere, loop_of_buffers, readable_where_it_receives, noise]

with Scratch(), Switch("--port", "vhost-user:a.sock", "--port", "vhost-user:b.sock", "--port", "vhost-user:evil.sock",
                       "--threads", "2") as switch, \
        Guest("a.sock", "52:54:00:00:00:0a") as a, Guest("b.sock", "52:54:00:00:00:0b") as b:
    for i, harm in enumerate(BREAKS):
        with Guest("evil.sock", MAC) as evil:
            evil.send(evil.frame(BROADCAST, f"good {i}"))
            for guest in (a, b):
                check(guest.receive() == evil.frame(BROADCAST, f"good {i}"), "it behaves at first")
            harm(evil)
            os.eventfd_write(evil.tx.kick, 1)
            os.eventfd_write(evil.rx.kick, 1)
            for n in range(20):
                others_talk(f"{harm.__name__} {n}")
        while rows("ports", "port")["evil"]["state"] == "connected":
            pass
    check(ctl("ports").count("connected") == 2, "the others never lost their connections")
    switch.stop()
