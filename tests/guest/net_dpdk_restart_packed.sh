#!/bin/bash
# SPDX-License-Identifier: MIT
# The same by packed rings, which DPDK makes anew for each server. (Not by its vectorised path: that moves the start of
# each buffer it sends, until it has to describe the header apart, and then marks that as one for the device to write.)
. "$(dirname "$0")/lib/net.bash"
. "$guest_lib/dpdk.bash"
. "$guest_lib/dpdk_restart.bash"
dpdk_harness "$1"
dpdk_restarts 5 packed_vq=1,in_order=0,mrg_rxbuf=1
dpdk_restarts 5 packed_vq=1,in_order=0,mrg_rxbuf=0
dpdk_restarts 5 packed_vq=1,in_order=1,mrg_rxbuf=1
