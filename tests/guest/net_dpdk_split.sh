#!/bin/bash
# SPDX-License-Identifier: MIT
# DPDK's driver at the switch by each of its ways to use a split ring: no packet is lost from the counters.
. "$(dirname "$0")/lib/net.bash"
. "$guest_lib/dpdk.bash"
dpdk_harness "$1"
dpdk_path in_order=0,mrg_rxbuf=1 "mergeable buffer" standard
dpdk_path in_order=0,mrg_rxbuf=0 standard standard
dpdk_path in_order=1,mrg_rxbuf=1 inorder inorder
dpdk_path in_order=0,mrg_rxbuf=0,vectorized=1 vectorized standard
