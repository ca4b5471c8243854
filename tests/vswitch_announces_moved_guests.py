#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""SEND_RARP: the switch tells everybody where a guest is now, in that guest's place."""
import os
import socket
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__) + "/python")
from serving import Scratch, check, front_end
from switching import BROADCAST, Guest, Switch, rows

GET_PROTOCOL, SET_PROTOCOL, SEND_RARP = 15, 16, 19
F_RARP, F_REPLY_ACK = 1 << 2, 1 << 3
NEED_REPLY = 8
MAC = bytes.fromhex("525400000077")


def ask(peer, request, value=None, flags=1):
    payload = b"" if value is None else struct.pack("<Q", value)
    peer.sendall(struct.pack("<III", request, flags, len(payload)) + payload)
    return struct.unpack("<12xQ", peer.recv(20, socket.MSG_WAITALL))[0] if value is None or flags & NEED_REPLY else None


with Scratch(), Switch("--port", "vhost-user:a.sock,vlan=5", "--port", "vhost-user:b.sock,vlan=5",
                       "--threads", "2") as switch, \
        Guest("a.sock", "52:54:00:00:00:0a") as a, front_end("b.sock") as b:
    check(ask(b, GET_PROTOCOL) & F_RARP, "the message is offered")
    ask(b, SET_PROTOCOL, F_RARP | F_REPLY_ACK)
    mac = int.from_bytes(MAC, "little")
    for _ in range(3):
        check(ask(b, SEND_RARP, mac, 1 | NEED_REPLY) == 0, "it is accepted")
        frame = a.receive()
        check(frame[:14] == BROADCAST + MAC + b"\x80\x35" and len(frame) == 60, f"a RARP frame: {frame}")
    check(rows("addresses", "address")["52:54:00:00:00:77"]["port"] == "b", "the switch itself has heard it")
    switch.stop()
