#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A front end truncates its memory file under a running queue: the server and its other disk live on."""
import mmap
import os
import socket
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__) + "/python")
from serving import MIB, Scratch, Server, check, copy, front_end, greet, image

SET_FEATURES, SET_OWNER, SET_MEM_TABLE = 2, 3, 5
SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL = 8, 9, 10, 11, 12, 13
VERSION_1 = 1 << 32
USER, SIZE = 0x10000000, 2 * MIB


def send(peer, request, payload=b"", fds=()):
    socket.send_fds(peer, [struct.pack("<III", request, 1, len(payload)) + payload], fds)


def plug_in(peer, memory, kick, call):
    """A guest whose memory is one file and whose one split ring of 16 starts at its beginning."""
    send(peer, SET_OWNER)
    send(peer, SET_FEATURES, struct.pack("<Q", VERSION_1))
    send(peer, SET_MEM_TABLE, struct.pack("<IIQQQQ", 1, 0, 0, SIZE, USER, 0), [memory])
    send(peer, SET_VRING_NUM, struct.pack("<II", 0, 16))
    send(peer, SET_VRING_BASE, struct.pack("<II", 0, 0))
    send(peer, SET_VRING_ADDR, struct.pack("<IIQQQQ", 0, 0, USER, USER + 8192, USER + 4096, 0))
    send(peer, SET_VRING_CALL, struct.pack("<Q", 0), [call])
    send(peer, SET_VRING_KICK, struct.pack("<Q", 0), [kick])


def ring_base(peer):
    """Stops the ring; its answer comes after the queue has drained."""
    send(peer, GET_VRING_BASE, struct.pack("<II", 0, 0))
    return peer.recv(20, socket.MSG_WAITALL)


with Scratch():
    image("a.raw")
    image("b.raw")
    image("into.raw", MIB, b"-")
    kick, call = os.eventfd(0), os.eventfd(0)
    memory = os.memfd_create("guest")
    os.ftruncate(memory, SIZE)
    with Server("--socket", "a", "--disk", "file:a.raw", "--socket", "b", "--disk", "file:b.raw", ready=2) as server:
        with front_end("a") as peer:
            plug_in(peer, memory, kick, call)
            greet(peer)  # its answer says that all of the above has been done
            guest = mmap.mmap(memory, SIZE)
            struct.pack_into("<HHH", guest, 4096, 0, 1, 0)  # avail: one request, made of descriptor 0
            guest.close()
            os.ftruncate(memory, 0)
            os.eventfd_write(kick, 1)
            check(len(ring_base(peer)) == 20, "the ring stops in good order")
        copy("--verify", "vhost_user:b", "file:into.raw")
        front_end("a").close()
        server.stop()

    # Where memory must be sealed, a file that could shrink is not even mapped.
    os.ftruncate(memory, SIZE)
    with Server("--socket", "a", "--disk", "file:a.raw", "--require-seals") as server:
        with front_end("a") as peer:
            try:
                plug_in(peer, memory, kick, call)
                check(peer.recv(1) == b"", "memory without seals ends the connection")
            except (BrokenPipeError, ConnectionResetError):
                pass
        server.stop()
