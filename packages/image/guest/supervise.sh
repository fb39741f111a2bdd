#!/usr/bin/busybox sh
# Process 1 of the guest after the initrd, in the verified root: starts the agent, waits, and powers off when it ends.
#
# With the argument `vm` it is not process 1: the owner's system is, which must neither end it nor run on without it.
set -u
umask 022
cd /
if [ "${1-}" = vm ]; then
  # systemd spares processes of root whose name begins with @ when it ends all others, so that the agent sees the VM to its end.
  mkdir /run/@ && ln -s /usr/bin/busybox /run/@/busybox && cd /run && exec '@/busybox' sh /usr/lib/cloister/supervise vm-named
fi
if [ "${1-}" = vm-named ]; then
  cd /
  # Memory that the owner's programs ask for is not made by ending the VM.
  echo -1000 >/proc/self/oom_score_adj
fi
ulimit -H -n 1048576
export PATH=/usr/sbin:/usr/bin HOME=/run LANG=C.UTF-8 DM_DISABLE_UDEV=1

# glibc gives each thread an arena of its own, and keeps what was freed at the end of each and between what stays: memory that the container could have.
export MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=32768 MALLOC_TRIM_THRESHOLD_=131072
read -r arguments </usr/lib/cloister/agent.arguments
# shellcheck disable=SC2086 # words
/usr/bin/node $arguments &
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
# The system disk of a VM outlives it.
if [ "${1-}" = vm-named ]; then sync; fi
poweroff -n -f
# Reached only if the machine has no power switch: the end of process 1 is a panic, and a panic ends the VM.
exit 1
