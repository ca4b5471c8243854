#!/bin/bash
# SPDX-License-Identifier: MIT
# A Debian guest partitions, formats, fills and verifies a disk over packed rings, by one queue and by two.
. "$(dirname "$0")/lib/harness.bash"
. "$guest_lib/disk_life.bash"
harness "$1"
disk_life 1 packed=on
disk_life 2 packed=on
