# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# killed_under_load TIMES [PROPERTY...]: the server is killed that often while a guest writes, and started again.
killed_under_load() {
	local times=$1
	shift
	truncate -s 256M "$work/a.raw"
	server_start --socket "$work/a" --disk "file:$work/a.raw" --queues 2
	guest_parts=(fio)
	guest_run "$(disk_args a 2 "$@")" < <(
		echo "times=$times properties='$*'"
		cat "$guest_lib/killed_under_load.guest"
	) || fail "the guest's script failed"
	server_stop
}
