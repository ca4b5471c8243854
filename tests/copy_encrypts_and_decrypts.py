#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The copy example: encrypts an image, decrypts it again, and refuses what cannot be."""
import filecmp
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__) + "/python")
from serving import MIB, Scratch, check, copy, image, key

SIZE = 3 * MIB + 4096  # no multiple of a chunk

with Scratch():
    image("plain.raw", SIZE)
    image("secret.raw", SIZE, b"\0")
    image("again.raw", SIZE, b"\0")
    image("small.raw", MIB, b"\0")
    key("k")
    for sector in (512, 4096):
        crypt = f"file:secret.raw | crypt:keyfile=k,sector={sector}"
        for options in ([], ["--depth=1"], ["--depth=64", "--chunk=4"], ["--chunk=1024"]):
            copy("--verify", *options, "file:plain.raw", crypt)
            check(b"plain.raw" not in open("secret.raw", "rb").read(), "no plain text in the encrypted image")
            copy(*options, crypt, "file:again.raw")
            check(filecmp.cmp("plain.raw", "again.raw", shallow=False), f"{sector} {options}: decrypted")

    said = copy("file:plain.raw", "file:small.raw", status=2)
    check("small.raw" in said and str(MIB) in said, f"too small a destination is named: {said}")
    said = copy("file:plain.raw", "file:none.raw", status=2)
    check("none.raw" in said and not os.path.exists("none.raw"), f"a missing destination is not made: {said}")
    check("a source and a destination" in copy("file:plain.raw", status=2), "two stacks are expected")
    check("1 to 1024" in copy("--depth=0", "file:plain.raw", "file:again.raw", status=2), "depth is checked")
    # A read error is reported with its place, and ends the copy.
    said = copy("file:plain.raw | fault:op=read,nth=3,error=EIO", "file:again.raw", status=1)
    check("Input/output error" in said, f"an error is passed on: {said}")
