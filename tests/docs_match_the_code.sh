#!/bin/sh
# SPDX-License-Identifier: MIT
# README.md shows examples/first.c as it is, links lead somewhere, and docs/backend.md has every argument there is.
set -eu
tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT
awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' README.md >"$tmp"
diff examples/first.c "$tmp" || { echo "README.md does not show examples/first.c"; exit 1; }

for page in README.md CONTRIBUTING.md docs/*.md; do
	grep -oE '\]\([^)#]+' "$page" | cut -c3- >"$tmp" || true
	while read -r link; do
		case $link in *://*) continue ;; esac
		[ -e "$(dirname "$page")/$link" ] || { echo "$page: no such file: $link"; exit 1; }
	done <"$tmp"
done

# A line of --help is an element and its arguments: "  offset  start=SIZE[,size=SIZE]: a window".
"$1/examples/copy" --help | sed -n '/^Stack elements/,$ { /^  / p }' >"$tmp"
[ "$(wc -l <"$tmp")" -ge 5 ] || { echo "copy --help lists no stack elements"; exit 1; }
while read -r element arguments; do
	row=$(grep "^| \`${element}[\`:[]" docs/backend.md) || { echo "docs/backend.md: no row for $element"; exit 1; }
	for key in $(echo "$arguments" | grep -oE '[a-z-]+=' | sort -u); do
		case $row in *"\`$key"*) ;; *) echo "docs/backend.md: $element has $key"; exit 1 ;; esac
	done
done <"$tmp"
