#!/bin/bash
# SPDX-License-Identifier: MIT
# The switch is killed five times while DPDK's driver talks to it by split rings, of which DPDK tells a new server nothing:
# packets pass again, and no buffer is lost.
. "$(dirname "$0")/lib/net.bash"
. "$guest_lib/dpdk.bash"
. "$guest_lib/dpdk_restart.bash"
dpdk_harness "$1"
dpdk_restarts 5 in_order=0,mrg_rxbuf=1
dpdk_restarts 5 in_order=0,mrg_rxbuf=0
dpdk_restarts 5 in_order=1,mrg_rxbuf=1
dpdk_restarts 5 in_order=0,mrg_rxbuf=0,vectorized=1
