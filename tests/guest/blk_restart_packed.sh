#!/bin/bash
# SPDX-License-Identifier: MIT
# The server is killed six times under load on packed rings and started again: the guest loses nothing, sees no error.
. "$(dirname "$0")/lib/harness.bash"
. "$guest_lib/killed_under_load.bash"
harness "$1"
killed_under_load 6 packed=on
