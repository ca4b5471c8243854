# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Boots Debian guests on disks that the example server serves. Sourced by tests/guest/*.sh and tools/demo:
#
#   . tests/guest/lib/harness.bash; harness BUILD-DIR
#   server_start --socket "$work/a" --disk "file:$work/a.raw" --queues 2
#   guest_run "$(disk_args a 2)" <<'SCRIPT' ... SCRIPT
#
# The guest's script may call "host NAME ARG...", which runs host_NAME here and answers with its status.
set -euo pipefail
guest_lib=$(dirname "$(realpath "${BASH_SOURCE[0]}")")

fail() {
	echo "FAIL: $*" >&2
	exit 1
}

skip() {
	echo "SKIP: $*"
	exit 77
}

note() {
	echo "[$(date +%T)] $*"
}

# harness BUILD-DIR: a directory $work for this test; all that was started ends with it.
harness() {
	build=$(realpath "${1:?harness: needs the build directory}")
	server_program=$build/examples/vhost-user-blk
	[ -x "$server_program" ] || skip "$server_program is not built"
	command -v qemu-system-x86_64 >/dev/null || skip "no qemu-system-x86_64: run tools/setup guest"
	image=$("$guest_lib/image") || skip "no guest image to boot"
	work=$(mktemp -d "${TMPDIR:-/tmp}/vio-guest.XXXXXX")
	server_pid=
	qemu_pid=
	trap harness_end EXIT
	trap 'exit 1' INT TERM
}

harness_end() {
	local status=$?
	[ -z "$qemu_pid" ] || kill -9 "$qemu_pid" 2>/dev/null || true
	[ -z "$server_pid" ] || kill -9 "$server_pid" 2>/dev/null || true
	wait 2>/dev/null || true
	if [ $status != 0 ] && [ $status != 77 ]; then
		for log in "$work"/*.log; do
			[ -s "$log" ] && echo "--- ${log##*/}" && tail -n 60 "$log"
		done
	fi
	[ -n "${VIO_KEEP-}" ] || rm -rf "$work"
	exit $status
}

# server_start ARG...: returns when it listens at each --socket.
server_start() {
	local socket=
	"$server_program" "$@" >>"$work/server.log" 2>&1 &
	server_pid=$!
	for argument; do
		[ "$socket" != --socket ] || server_wait "$argument"
		socket=$argument
	done
}

# A socket left by a killed server is there at once, so look for a listener and not for a file.
server_wait() {
	local tries=0
	until grep -q "^[^ ]* [0-9]* 00000000 00010000 .* $1\$" /proc/net/unix; do
		kill -0 "$server_pid" 2>/dev/null || fail "the server ended: $(tail -1 "$work/server.log")"
		[ $((tries += 1)) -lt 600 ] || fail "the server does not listen at $1"
		sleep 0.05
	done
}

# SIGTERM drains, so nothing but exit status 0 will do.
server_stop() {
	local pid=$server_pid status=0
	server_pid=
	kill -TERM "$pid"
	wait "$pid" || status=$?
	[ $status = 0 ] || fail "the server ended with status $status after SIGTERM"
}

server_kill() {
	kill -9 "$server_pid"
	wait "$server_pid" 2>/dev/null || true
	server_pid=
}

# disk_args NAME QUEUES [PROPERTY...]: QEMU's arguments for the disk that is served at $work/NAME.
disk_args() {
	local name=$1 queues=$2 properties=
	shift 2
	for property; do properties+=,$property; done
	echo "-chardev socket,id=$name,path=$work/$name,reconnect=1"
	echo "-device vhost-user-blk-pci,chardev=$name,num-queues=$queues$properties"
}

# The accelerator: VIO_ACCEL, or KVM where a guest was seen to boot with it, or software emulation.
guest_accel() {
	local verdict
	verdict=${image%/image/*}/accel-$(uname -r)
	if [ -n "${VIO_ACCEL-}" ]; then
		echo "$VIO_ACCEL"
	elif [ ! -w /dev/kvm ]; then
		echo tcg
	else
		[ -s "$verdict" ] || kvm_probe >"$verdict"
		cat "$verdict"
	fi
}

kvm_probe() {
	cp "$image/base.cpio" "$work/probe.cpio"
	echo true | script_cpio >>"$work/probe.cpio"
	if timeout 10 qemu-system-x86_64 -accel kvm -cpu host -m 512 -nodefaults -display none -no-reboot -serial stdio \
		-kernel "$image/kernel" -initrd "$work/probe.cpio" -append "console=ttyS0 quiet panic=-1" \
		</dev/null 2>&1 | grep -q 'GUEST-EXIT 0'; then
		echo kvm
	else
		echo tcg
	fi
	rm -f "$work/probe.cpio"
}

# Standard input as /script, and the files named, in an archive that is appended to the image.
script_cpio() {
	local dir
	dir=$(mktemp -d "$work/script.XXXXXX")
	cat >"$dir/script"
	[ $# = 0 ] || cp -r "$@" "$dir/"
	(cd "$dir" && find . | cpio -o -H newc --quiet -R 0:0)
	rm -rf "$dir"
}

# guest_run [QEMU-ARG...]: boots, runs the script on standard input, returns its status. Each argument is split at
# blanks. guest_files: what to put into the guest's root; guest_parts: parts of the image besides base;
# guest_limit: seconds without a line from the guest after which it counts as stuck.
guest_run() {
	local parts=(base "${guest_parts[@]}") accel cpu=max
	accel=$(guest_accel)
	[ "$accel" = kvm ] && cpu=host || accel=tcg,thread=multi,tb-size=256
	for part in "${parts[@]}"; do cat "$image/$part.cpio"; done >"$work/initrd"
	script_cpio "${guest_files[@]}" >>"$work/initrd"
	mkfifo "$work/to-guest" "$work/from-guest"
	# shellcheck disable=SC2068
	qemu-system-x86_64 -machine q35,memory-backend=ram -accel "$accel" -cpu "$cpu" -smp 2 -m "$guest_mb" \
		-object "memory-backend-memfd,id=ram,size=${guest_mb}M,share=on" \
		-nodefaults -no-user-config -display none -no-reboot -serial stdio \
		-kernel "$image/kernel" -initrd "$work/initrd" \
		-append "console=ttyS0 quiet panic=-1 mitigations=off nokaslr tsc=reliable random.trust_cpu=on" $@ \
		<"$work/to-guest" >"$work/from-guest" 2>>"$work/qemu.log" &
	qemu_pid=$!
	exec {to_guest}>"$work/to-guest" {from_guest}<"$work/from-guest"
	rm "$work/to-guest" "$work/from-guest"
	guest_follow
	exec {to_guest}>&- {from_guest}<&-
	wait "$qemu_pid" || guest_status=1
	qemu_pid=
	return "$guest_status"
}
guest_parts=()
guest_files=()
guest_mb=512
guest_limit=120

# Reads the console to its end: copies it, answers the guest's calls, and learns its exit status.
guest_follow() {
	local line
	guest_status=1
	while IFS= read -r -t "$guest_limit" line <&"$from_guest" || guest_stuck $?; do
		line=${line%$'\r'}
		printf '%s\n' "$line" >>"$work/console.log"
		case $line in
		'HOST '*) guest_call "${line#HOST }" ;;
		'GUEST-UP '*) guest_kernel=${line#GUEST-UP } guest_kernel=${guest_kernel% *} ;;
		'GUEST-EXIT '*) guest_status=${line#GUEST-EXIT } ;;
		esac
	done
}

# After a read that failed: the end of the console (false), or silence for too long.
guest_stuck() {
	[ "$1" -le 128 ] || fail "the guest said nothing for $guest_limit s"
	return 1
}

guest_call() {
	local words status=0
	read -r -a words <<<"$1"
	"host_${words[0]}" "${words[@]:1}" || status=$?
	echo $status >&"$to_guest"
}

# What guests may ask of any test.
host_note() {
	note "$@"
}
