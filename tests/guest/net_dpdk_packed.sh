#!/bin/bash
# SPDX-License-Identifier: MIT
# DPDK's driver at the switch by each of its ways to use a packed ring: no packet is lost from the counters.
. "$(dirname "$0")/lib/net.bash"
. "$guest_lib/dpdk.bash"
dpdk_harness "$1"
dpdk_path packed_vq=1,in_order=0,mrg_rxbuf=1 "packed ring mergeable buffer" "packed ring standard"
dpdk_path packed_vq=1,in_order=0,mrg_rxbuf=0 "packed ring standard" "packed ring standard"
dpdk_path packed_vq=1,in_order=1,mrg_rxbuf=1 "packed ring mergeable buffer" "packed ring standard"
# This path moves the start of each buffer that it sends. So it gets those which it has received, or flowgen's would have no
# room left for a header some day; then it describes the header apart, and marks that as one for the device to write.
dpdk_traffic=("set fwd io" "start tx_first 4")
dpdk_path packed_vq=1,in_order=1,mrg_rxbuf=0,vectorized=1 "packed ring vectorized" "packed ring vectorized"
