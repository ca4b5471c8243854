#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Several disks in one process: each has its own content, options and fate."""
import filecmp
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__) + "/python")
from serving import MIB, Scratch, Server, check, copy, front_end, image, key

with Scratch():
    image("a.raw", 3 * MIB)
    image("b.raw", 2 * MIB)
    image("into.raw", 3 * MIB, b"-")
    image("blank.raw", 3 * MIB, b"\0")
    key("k")
    with Server("--queues", "2", "--threads", "2",
                "--socket", "a", "--disk", "file:a.raw", "--read-only",
                "--disk", "file:blank.raw | crypt:keyfile=k", "--socket", "b", "--queues", "1", "--packed", "off",
                ready=2) as server:
        copy("--verify", "vhost_user:a", "file:into.raw")
        check(filecmp.cmp("a.raw", "into.raw", shallow=False), "the first disk is a.raw")
        copy("--verify", "file:into.raw", "vhost_user:b")
        said = copy("file:b.raw", "vhost_user:a", status=2)
        check("read-only" in said, f"the first disk is read-only: {said}")
        # A front end that talks nonsense to one disk does not disturb the other.
        with front_end("a") as nonsense:
            nonsense.sendall(b"\xff" * 4096)
            copy("vhost_user:b", "file:into.raw")
        server.stop()
    check(not filecmp.cmp("a.raw", "blank.raw", shallow=False), "the second disk's image is ciphertext")
    copy("--verify", "file:blank.raw | crypt:keyfile=k", "file:into.raw")
    check(filecmp.cmp("a.raw", "into.raw", shallow=False), "it decrypts to a.raw")
