#!/usr/bin/busybox sh
# Process 1 of the guest after the initrd, in the verified root: starts the agent, waits, and powers off when it ends.
set -u
umask 022
cd /
ulimit -H -n 1048576
export PATH=/usr/sbin:/usr/bin HOME=/run LANG=C.UTF-8 DM_DISABLE_UDEV=1

/usr/bin/node /usr/lib/cloister/agent.mjs &
agent=$!
wait "$agent"
status=$?

if [ "$status" -ne 0 ]; then
  for file in /sys/class/virtio-ports/*/name; do
    read -r name <"$file" || continue
    [ "$name" = cloister.stage ] || continue
    directory=${file%/name}
    timeout -s KILL 2 sh -c 'echo "! guest-boot.agent-ended" >"$1"' stage "/dev/${directory##*/}"
  done
fi
poweroff -n -f
# Reached only if the machine has no power switch: the end of process 1 is a panic, and a panic ends the VM.
exit 1
