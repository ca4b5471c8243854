#!/bin/bash
# SPDX-License-Identifier: MIT
# The kernel of Debian's backports, 6.12, uses our NVMe/TCP target: see lib/nvme_tcp.bash.
. "$(dirname "$0")/lib/harness.bash"
. "$guest_lib/nvme.bash"
. "$guest_lib/nvme_paths.bash"
. "$guest_lib/nvme_tcp.bash"
nvme_harness "$1" backports
nvme_tcp_life auth
