#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""flows.py TABLE FROM TO QUEUE COUNT ports|addresses|nothing: sends COUNT datagrams of as many flows, all of them such
that a guest whose `ethtool -x` says TABLE gets them in its receive queue QUEUE, if that is what it hashes. Prints how
many: none, where none leads there."""
import itertools
import re
import socket
import sys

PORT = 7004


def read_table(path):
    with open(path, encoding="ascii") as file:
        text = file.read()
    rows = re.findall(r"^ +\d+:((?: +\d+)+)$", text, re.M)
    key = re.search(r"^((?:[0-9a-f]{2}:){39}[0-9a-f]{2})$", text, re.M)
    return [int(n) for row in rows for n in row.split()], bytes.fromhex(key.group(1).replace(":", ""))


def toeplitz(key, data):
    """For each bit of the data that is set, the 32 bits of the key that begin there."""
    window, all_bits = int.from_bytes(key, "big"), 8 * len(key)
    bits = int.from_bytes(data, "big")
    result = 0
    for i in range(8 * len(data)):
        if bits >> (8 * len(data) - 1 - i) & 1:
            result ^= window >> (all_bits - 32 - i) & 0xffffffff
    return result


def main():
    table_path, source, target, queue, count, hashed = sys.argv[1:]
    table, key = read_table(table_path)
    addresses = socket.inet_aton(source) + socket.inet_aton(target)

    def leads(port):
        if hashed == "nothing":
            return 0  # so Linux has it
        ports = port.to_bytes(2, "big") + PORT.to_bytes(2, "big") if hashed == "ports" else b""
        return table[toeplitz(key, addresses + ports) % len(table)]

    ports = (port for port in range(20000, 24000) if leads(port) == int(queue))
    chosen = list(itertools.islice(ports, int(count)))
    for port in chosen:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((source, port))
            s.sendto(b"datagram", (target, PORT))
    print(len(chosen))


main()
