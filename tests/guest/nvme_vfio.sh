#!/bin/bash
# SPDX-License-Identifier: MIT
# Our driver of PCI NVMe controllers in a guest with Linux 6.1: see lib/nvme_vfio.bash.
. "$(dirname "$0")/lib/harness.bash"
. "$guest_lib/nvme_vfio.bash"
harness_begin "$1" copy
harness_image
nvme_vfio_life
