#!/bin/sh
# Turns a freshly installed Debian root ($1) into that of a catalogue image; mmdebstrap calls it. OVERLAY holds configuration files
# of the image. What differs from one run to the next, or must be each machine's own, is removed.
set -eu
umask 022
root=$1

cp -r --no-preserve=mode,ownership,timestamps "$OVERLAY/." "$root/"
ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
for unit in systemd-networkd systemd-resolved systemd-timesyncd; do
  chroot "$root" systemctl --quiet enable "$unit"
done

# Each machine makes its own.
rm -f "$root"/etc/ssh/ssh_host_* "$root"/var/lib/dbus/machine-id "$root"/var/lib/systemd/random-seed
: >"$root/etc/machine-id"
# Sources are written by cloud-init at the first boot.
rm -f "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*

rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/cache/ldconfig "$root"/var/cache/debconf/*-old
rm -f "$root"/var/lib/dpkg/*-old "$root"/etc/passwd- "$root"/etc/group- "$root"/etc/shadow- "$root"/etc/gshadow- "$root"/etc/subuid- "$root"/etc/subgid-
find "$root/var/log" -type f -delete
find "$root/tmp" "$root/var/tmp" "$root/run" -mindepth 1 -delete
