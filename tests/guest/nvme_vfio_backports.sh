#!/bin/bash
# SPDX-License-Identifier: MIT
# Our driver of PCI NVMe controllers in a guest with the kernel of Debian's backports, 6.12: see lib/nvme_vfio.bash.
. "$(dirname "$0")/lib/harness.bash"
. "$guest_lib/nvme.bash"
. "$guest_lib/nvme_vfio.bash"
nvme_harness "$1" backports
guest_parts=()
nvme_vfio_life
