#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""flooder.py BUILD SOCKET COUNT: a guest that broadcasts so many frames."""
import sys

from switching import BROADCAST, Guest

with Guest(sys.argv[2], "52:54:00:00:00:0f") as guest:
    for i in range(int(sys.argv[3])):
        guest.send(guest.frame(BROADCAST, str(i)))
