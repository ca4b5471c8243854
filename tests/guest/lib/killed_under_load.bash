# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# killed_under_load TIMES [PROPERTY...]: the server is killed that often while a guest writes, and started again.
killed_under_load() {
	local times=$1
	shift
	truncate -s 256M "$work/a.raw"
	killed_start swift
	guest_parts=(fio)
	guest_run "$(disk_args a 2 "$@")" < <(
		echo "times=$times properties='$*'"
		cat "$guest_lib/killed_under_load.guest"
	) || fail "the guest's script failed"
	server_stop
}

# A slow server holds many requests that it has taken when it dies; a swift one dies between write and answer.
killed_start() {
	local stack="file:$work/a.raw"
	[ "$1" = swift ] || stack+=" | fault:error=delay,delay=100,once=off"
	server_start --socket "$work/a" --disk "$stack" --queues 2
}

host_kill() { # slow|swift: what to start next
	server_kill
	killed_start "$1"
}

host_renew() {
	server_stop
	killed_start swift
}
