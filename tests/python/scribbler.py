#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""scribbler.py BUILD-DIR SOCKET SEED: a guest that scribbles over its rings and buffers while they are served, until it
is killed. Each of its lives is a connection of its own: first it behaves, then it doesn't."""
import os
import random
import struct
import sys

sys.dont_write_bytecode = True
from switching import BROADCAST, BUFFER, HEADER, QUEUE, SIZE, Guest

STEPS = 2000  # of a life at most
# Lengths and addresses at which counting goes wrong.
LENGTHS = (0, 1, 11, 12, 25, 26, BUFFER, 65535, 1 << 31, (1 << 32) - 1)
FAR = (0, 1, 2 * QUEUE - 1, 2 * QUEUE, 1 << 40, (1 << 64) - 64)


def write(guest, at, what):
    guest.memory[at:at + len(what)] = what


def post(guest, ring):
    """One more request, if there is room for it: what else is harmed gets served."""
    done = struct.unpack("<H", guest.memory[ring.at + 0x2002:ring.at + 0x2004])[0]
    if (ring.avail - done) & 0xffff < SIZE:
        ring.post(ring.avail % SIZE)


def length(guest, ring):
    write(guest, ring.at + 16 * random.randrange(SIZE) + 8, struct.pack("<I", random.randrange(12, BUFFER)))


def header(guest, ring):
    """Of a packet: any flags, any kind of segmentation, any place for the checksum; now and then any addresses."""
    write(guest, ring.buffer(random.randrange(SIZE)), random.randbytes(random.choice((12, 12, 40))))


def addresses(guest, ring):
    """A broadcast that claims to come from anybody."""
    write(guest, ring.buffer(random.randrange(SIZE)) + HEADER, BROADCAST + b"\x52" + random.randbytes(5))


def used(guest, ring):
    write(guest, ring.at + 0x2004 + random.randrange(8 * SIZE), random.randbytes(8))


def descriptor(guest, ring):
    """One that may be wrong in any field."""
    address = random.choice((*FAR, ring.buffer(random.randrange(SIZE))))
    entry = struct.pack("<QIHH", address, random.choice(LENGTHS), random.randrange(8), random.randrange(2 * SIZE))
    write(guest, ring.at + 16 * random.randrange(SIZE), entry)


def head(guest, ring):
    write(guest, ring.at + 0x1004 + 2 * random.randrange(SIZE), struct.pack("<H", random.randrange(SIZE + 2)))


def leap(guest, ring):
    write(guest, ring.at + 0x1002, struct.pack("<H", (ring.avail + random.randrange(1 << 16)) & 0xffff))


def noise(guest, ring):
    write(guest, ring.at + random.randrange(QUEUE - 512), random.randbytes(512))


# What breaks a ring at once is rare, or nothing else would come to be served.
HARM = {post: 400, header: 300, length: 100, addresses: 50, used: 50, noise: 10, descriptor: 2, head: 1, leap: 1}


def live(path):
    with Guest(path, "52:54:00:00:00:0e") as guest:
        for i in range(8):
            guest.send(guest.frame(BROADCAST, f"good {i}"))
        for harm in random.choices(list(HARM), HARM.values(), k=STEPS):
            harm(guest, random.choice((guest.rx, guest.tx, guest.tx)))


random.seed(int(sys.argv[3]))
lives = 0
while True:
    live(sys.argv[2])
    lives += 1
    print(f"lives: {lives}", flush=True)
