# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Boots guests and follows their consoles. Sourced by harness.bash.

# The program and its first words: VIO_QEMU names another than the one that is installed.
read -r -a guest_qemu <<<"${VIO_QEMU:-qemu-system-x86_64}"

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
	if timeout 10 "${guest_qemu[@]}" -accel kvm -cpu host -m 512 -nodefaults -display none -no-reboot -serial stdio \
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
# guest_limit: seconds without a line from the guest after which it counts as stuck;
# guest_append: more for its kernel's command line.
guest_run() {
	guest_start guest "$@"
	from_guest=${guest_out[guest]} to_guest=${guest_in[guest]}
	guest_follow
	guest_end guest || guest_status=1
	return "$guest_status"
}
guest_parts=()
guest_files=()
guest_mb=512
guest_cpus=2
guest_limit=120
guest_append=

# guest_program FILE: one that was built here, with the libraries that it needs, each at the path it has here.
guest_program() {
	local file
	for file in "$1" $(ldd "$1" | grep -o '/[^ ]*'); do
		install -D "$file" "$work/programs$file"
	done
	[[ " ${guest_files[*]} " == *" $work/programs/. "* ]] || guest_files+=("$work/programs/.")
}

# The consoles of running guests: file descriptors by name.
declare -A guest_in=() guest_out=()

# guest_start NAME [QEMU-ARG...]: boots with the script on standard input and leaves its console to the caller.
guest_start() {
	local name=$1 parts=(base "${guest_parts[@]}") accel cpu=max in out
	shift
	accel=$(guest_accel)
	[ "$accel" = kvm ] && cpu=host || accel=tcg,thread=multi,tb-size=256
	for part in "${parts[@]}"; do cat "$image/$part.cpio"; done >"$work/$name.initrd"
	script_cpio "${guest_files[@]}" >>"$work/$name.initrd"
	mkfifo "$work/to-$name" "$work/from-$name"
	# shellcheck disable=SC2068
	"${guest_qemu[@]}" -machine q35,memory-backend=ram -accel "$accel" -cpu "$cpu" -smp "$guest_cpus" -m "$guest_mb" \
		-object "memory-backend-memfd,id=ram,size=${guest_mb}M,share=on" \
		-nodefaults -no-user-config -display none "${guest_reboots[@]}" -serial stdio \
		-kernel "$image/kernel" -initrd "$work/$name.initrd" \
		-append "console=ttyS0 quiet panic=-1 mitigations=off nokaslr tsc=reliable no_timer_check random.trust_cpu=on $guest_append" $@ \
		<"$work/to-$name" >"$work/from-$name" 2>>"$work/qemu.log" &
	# shellcheck disable=SC2004 # it is associative
	child[$name]=$!
	exec {in}>"$work/to-$name" {out}<"$work/from-$name"
	rm "$work/to-$name" "$work/from-$name"
	guest_in[$name]=$in guest_out[$name]=$out
}
# What a reboot does: ends QEMU, or with an empty list boots again.
guest_reboots=(-no-reboot)

guest_end() {
	local name=$1 status=0 in=${guest_in[$1]} out=${guest_out[$1]}
	exec {in}>&- {out}<&-
	wait "${child[$name]}" || status=$?
	unset "child[$name]" "guest_in[$name]" "guest_out[$name]"
	return $status
}

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
