#!/usr/bin/env bash
# rustc.sh RUSTC ARGUMENTS: compiles our own crates with AddressSanitizer, everything else as it is.
rustc=$1
shift
case " $* " in
*" --crate-name enginora_rs "* | *" --crate-name all "*)
    RUSTC_BOOTSTRAP=1 exec "$rustc" "$@" -Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer
    ;;
esac
exec "$rustc" "$@"
