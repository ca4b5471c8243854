#!/bin/bash
# SPDX-License-Identifier: MIT
# Guests of QEMU 10 on split rings, with and without mergeable buffers, on one pair of queues and on two: all they say
# arrives, whole or cut, in VLANs and in jumbo frames, before and after the link was down and a guest booted again.
. "$(dirname "$0")/lib/net.bash"
. "$guest_lib/talk.bash"
. "$guest_lib/matrix.bash"
net_harness "$1"
newer_qemu
talk_bytes=2000000
talk_begin
matrix off
