#!/bin/sh
# SPDX-License-Identifier: MIT
# Names in headers and names in the symbol map are the same.
set -eu
exec tools/check-api
