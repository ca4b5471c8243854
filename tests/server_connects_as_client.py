#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""--client: the server connects to the front end's socket, when there is one, and again when it went."""
import os
import socket
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__) + "/python")
from serving import Scratch, Server, check, greet, image

with Scratch():
    image("a.raw")
    with Server("--socket", "s", "--client", "--disk", "file:a.raw") as server:
        check(not os.path.exists("s"), "a client makes no socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.settimeout(60)
            listener.bind("s")
            listener.listen()
            for _ in range(3):
                greet(listener.accept()[0]).close()
            peer = greet(listener.accept()[0])
        server.stop()
        check(peer.recv(1) == b"", "the front end sees the end of the connection")
    check(os.path.exists("s"), "a client leaves the front end's socket alone")
    with Server("--socket", "nobody", "--client", "--disk", "file:a.raw") as server:
        server.stop()
